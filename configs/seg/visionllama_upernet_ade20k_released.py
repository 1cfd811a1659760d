"""VisionLLaMA-B with UperNet on ADE20K, as the released code trains it.

tools/train.sh configs/seg/visionllama_upernet_ade20k_released.py --amp \
    --cfg-options load_from=MAE.pth

8 GPUs x 2 images. mIoU 49.0 after 800 epochs of MAE, 50.2 after 1600 (paper, Tab. 4).
Unlike the paper: lr 1e-4, positions not scaled, drop-path on attention alone, and a feed-forward four times
as wide (256 M in the encoder).
"""

_base_ = [
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/seg_160k.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/seg.py",
]
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
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
    neck=dict(type="Feature2Pyramid", embed_dim=768, rescales=[4, 2, 1, 0.5], norm_cfg=dict(type="SyncBN")),
    decode_head=dict(in_channels=[768, 768, 768, 768], channels=768),
    auxiliary_head=dict(in_channels=768),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    constructor="mmvisionllama.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.65, flat_decay_mult=0.0),
)
