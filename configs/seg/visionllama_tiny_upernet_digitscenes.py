"""VisionLLaMA-tiny with a small UperNet on DigitScenes, from random values: the demo.

tools/train.sh configs/seg/visionllama_tiny_upernet_digitscenes.py

One process on two CPU cores, 32 images. Aim: mIoU 65 within 6 minutes.
"""

_base_ = [
    "../_base_/models/upernet.py",
    "../_base_/datasets/digitscenes_seg.py",
    "../_base_/schedules/seg_1k.py",
    "../_base_/runtime/seg.py",
]
# GroupNorm gives the same model in one process and in several, on CPU and on GPU.
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        type="mmvisionllama.VisionLLaMA",
        arch="tiny",
        img_size=64,
        patch_size=8,
        out_type="featmap",
        out_indices=(1, 2, 3, 5),
        layer_scale=None,
    ),
    neck=dict(
        type="Feature2Pyramid", embed_dim=128, rescales=[4, 2, 1, 0.5], norm_cfg=dict(type="GN", num_groups=8)
    ),
    decode_head=dict(
        in_channels=[128, 128, 128, 128],
        channels=32,
        num_classes=11,
        norm_cfg=dict(type="GN", num_groups=8),
        loss_decode=dict(avg_non_ignore=True),
    ),
    auxiliary_head=dict(
        in_channels=128,
        channels=32,
        num_classes=11,
        norm_cfg=dict(type="GN", num_groups=8),
        loss_decode=dict(avg_non_ignore=True),
    ),
)
