"""VisionLLaMA-tiny with a small UperNet on DigitScenes, from scratch: the demo.

tools/train.sh configs/toy/visionllama_tiny_upernet_digitscenes.py

One process on two CPU cores, 16 images. mIoU 68.4 after 296 s, measured by `make demo`.
"""

_base_ = [
    "../_base_/models/upernet_tiny.py",
    "../_base_/datasets/digitscenes_seg.py",
    "../_base_/schedules/seg_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/seg.py",
]
model = dict(
    backbone=dict(
        type="mmvisionllama.VisionLLaMA",
        arch="tiny",
        img_size=64,
        patch_size=8,
        out_type="featmap",
        out_indices=(1, 3, 5, 7),
        layer_scale=None,
    ),
    neck=dict(
        type="Feature2Pyramid", embed_dim=96, rescales=[4, 2, 1, 0.5], norm_cfg=dict(type="GN", num_groups=8)
    ),
    decode_head=dict(in_channels=[96, 96, 96, 96]),
    auxiliary_head=dict(in_channels=96),
)
