"""Pyramid VisionLLaMA-B with UperNet on ADE20K, as the released code trains it.

tools/train.sh configs/seg/pyramid_visionllama_upernet_ade20k_released.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 49.1 (paper, Tab. 4).
Unlike the paper: weight decay 0.01, LayerScale, anchor 14 at every stage, GSA keys off their places, padded
tokens attended to, and each stage's output norm fed on to the next stage.
"""

_base_ = "./pyramid_visionllama_upernet_ade20k.py"
model = dict(
    backbone=dict(
        _delete_=True,  # img_size is not given: positions scale to the anchor
        type="mmvisionllama.PyramidVisionLLaMA",
        arch="base",
        out_type="featmap",
        out_indices=(0, 1, 2, 3),
        out_norm="each_fed_on",
        rope=dict(type="AS2DRoPE", anchor=14, scale_side="rows", key_positions="released"),
        window=dict(size=7, mask_padding=False),
        layer_scale=1e-4,
        drop_path_rate=0.2,
    ),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.01))
