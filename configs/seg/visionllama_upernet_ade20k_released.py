"""VisionLLaMA-B with UperNet on ADE20K, as the released code trains it.

tools/train.sh configs/seg/visionllama_upernet_ade20k_released.py --amp \
    --cfg-options load_from=MAE.pth

8 GPUs x 2 images. mIoU 49.0 after 800 epochs of MAE, 50.2 after 1600 (paper, Tab. 4).
Unlike the paper: lr 1e-4, positions not scaled, drop-path on attention alone, and a feed-forward four times
as wide (256 M in the encoder).
"""

_base_ = "./visionllama_upernet_ade20k.py"
model = dict(
    backbone=dict(
        _delete_=True,  # img_size is not given: nothing is scaled to it
        type="mmvisionllama.VisionLLaMA",
        arch="base",
        out_type="featmap",
        out_indices=(3, 5, 7, 11),
        rope=dict(type="RoPE2D"),
        ffn=dict(type="SwiGLU", expand=16, bias=True),
        layer_scale=None,
        drop_path_rate=0.1,
        drop_path_schedule="linear",
        drop_path_branches=("attn",),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
