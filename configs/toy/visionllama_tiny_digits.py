"""VisionLLaMA-tiny classifies scikit-learn's digits, 8 px, from scratch.

tools/train.sh configs/toy/visionllama_tiny_digits.py

One process on two CPU cores, 64 images. Top-1 97.8 (seed 0), 4 minutes beside other work.
Generated digits are evaluated by its features.
"""

_base_ = [
    "../_base_/models/tiny_visionllama.py",
    "../_base_/datasets/digits_cls.py",
    "../_base_/schedules/cls_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
model = dict(backbone=dict(img_size=8, patch_size=2, in_channels=1))
