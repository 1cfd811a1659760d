"""A Twins-SVT of VisionLLaMA-tiny's size classifies DigitScenes, from scratch.

tools/train.sh configs/toy/twins_svt_tiny_digitscenes.py

One process on two CPU cores, 32 images. Top-1 94.0 to 95.0 (three seeds).
"""

_base_ = [
    "../_base_/models/tiny_twins_svt.py",
    "../_base_/datasets/digitscenes_cls.py",
    "../_base_/schedules/cls_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(position_encodings=dict(decay_mult=0.0))))
