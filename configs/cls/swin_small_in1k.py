"""Swin-S on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/swin_small_in1k.py --amp

8 GPUs x 128 images. Top-1 83.0 (paper, Tab. 2).
"""

_base_ = [
    "../_base_/models/classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_randaug.py",
    "../_base_/schedules/imagenet_adamw_300e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(
    backbone=dict(type="SwinTransformer", arch="small", img_size=224, drop_path_rate=0.3),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(in_channels=768),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0))),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=20, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=20, end=300, convert_to_iter_based=True),
]
