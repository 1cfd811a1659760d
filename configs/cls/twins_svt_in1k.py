"""Twins-SVT-B on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/twins_svt_in1k.py --amp

8 GPUs x 128 images. Top-1 83.2 (paper, Tab. 2). Clipping at 5 and a last rate of 1e-5 are Twins' own.
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
    backbone=dict(
        type="SVT",
        arch="base",
        out_indices=(3,),
        qkv_bias=True,
        drop_path_rate=0.3,
        norm_after_stage=[False, False, False, True],
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(in_channels=768),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(position_encodings=dict(decay_mult=0.0))),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=300, convert_to_iter_based=True),
]
