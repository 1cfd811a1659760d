"""Pyramid VisionLLaMA-S on ImageNet-1K, as the released code trains it.

tools/train.sh configs/cls/pyramid_visionllama_small_in1k_released.py --amp

8 GPUs x 128 images. Top-1 81.6 (paper, Tab. 2).
Unlike the paper: no repeated augmentation, rate down to 1e-5, LayerScale, GSA keys off their places, padded
tokens attended to, and the last norm applied again after pooling.
"""

_base_ = "./pyramid_visionllama_small_in1k.py"
model = dict(
    backbone=dict(
        layer_scale=1e-4,
        out_norm="twice",
        rope=dict(type="RoPE2D", key_positions="released"),
        window=dict(size=7, mask_padding=False),
    ),
)
train_dataloader = dict(sampler=dict(type="DefaultSampler"))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=300, convert_to_iter_based=True),
]
