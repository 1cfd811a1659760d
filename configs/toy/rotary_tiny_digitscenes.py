"""Four blocks of VisionLLaMA-tiny classify DigitScenes at 32 px, and are tested at five sizes.

tools/train.sh configs/toy/rotary_tiny_digitscenes.py

One process on two CPU cores, 32 images, 300 steps. Top-1 at 32 px 48.0, 32.4, 48.4 (seeds 0, 1, 2).
The base of configs/study/rotary_family_digitscenes.py, which changes one component at a time.
"""

_base_ = [
    "../_base_/models/rotary_tiny.py",
    "../_base_/datasets/digitscenes_cls_sizes.py",
    "../_base_/schedules/cls_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=30, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=30, end=300, by_epoch=False),
]
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(checkpoint=dict(save_best=None))
