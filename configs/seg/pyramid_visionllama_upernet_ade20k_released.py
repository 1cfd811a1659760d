"""Pyramid VisionLLaMA-B with UperNet on ADE20K, as the released code trains it.

tools/train.sh configs/seg/pyramid_visionllama_upernet_ade20k_released.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 49.1 (paper, Tab. 4).
Unlike the paper: weight decay 0.01, LayerScale, anchor 14 at every stage, GSA keys off their places, padded
tokens attended to, and each stage's output norm fed on to the next stage.
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
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(
    optimizer=dict(weight_decay=0.01), paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0)))
)
