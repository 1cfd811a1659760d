"""ViT-S on ImageNet-1K at 224 px, 300 epochs: DeiT-S.

tools/train.sh configs/cls/vit_small_in1k.py --amp

8 GPUs x 128 images. Top-1 79.9 (paper, Tab. 2). Repeated augmentation and a last rate of 1e-5 are DeiT's own.
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
        type="VisionTransformer", arch="deit-small", img_size=224, patch_size=16, drop_path_rate=0.1
    ),
    head=dict(in_channels=384),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)))
)
train_dataloader = dict(sampler=dict(type="RepeatAugSampler"))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=300, convert_to_iter_based=True),
]
