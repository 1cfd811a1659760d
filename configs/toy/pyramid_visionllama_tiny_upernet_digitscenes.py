"""Pyramid VisionLLaMA-tiny with a small UperNet on DigitScenes, from scratch.

tools/train.sh configs/toy/pyramid_visionllama_tiny_upernet_digitscenes.py

One process on two CPU cores, 16 images.
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
        type="mmvisionllama.PyramidVisionLLaMA",
        arch="tiny",
        img_size=64,
        out_type="featmap",
        out_indices=(0, 1, 2, 3),
        window=dict(size=8),  # divides the 16 x 16 grid of the first stage
        layer_scale=None,
    ),
    decode_head=dict(in_channels=[32, 64, 128, 160]),
    auxiliary_head=dict(in_channels=128),
)
