"""Pyramid VisionLLaMA-tiny classifies DigitScenes, from random values.

tools/train.sh configs/cls/pyramid_visionllama_tiny_digitscenes.py

One process on two CPU cores, 64 images.
"""

_base_ = "./visionllama_tiny_digitscenes.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmvisionllama.PyramidVisionLLaMA",
        arch="tiny",
        img_size=64,
        window=dict(size=8),  # divides the 16 x 16 grid of the first stage
        layer_scale=None,
    ),
    head=dict(in_channels=160),
)
