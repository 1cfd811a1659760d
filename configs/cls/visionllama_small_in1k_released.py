"""VisionLLaMA-S on ImageNet-1K, as the released code trains it.

tools/train.sh configs/cls/visionllama_small_in1k_released.py --amp

8 GPUs x 256 images. Top-1 81.6 (paper, Tab. 2).
Unlike the paper: lr 4e-3, weight decay 0.05, crop ratio 0.875, positions not scaled.
"""

_base_ = "./visionllama_small_in1k.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D")))
optim_wrapper = dict(optimizer=dict(lr=4e-3, weight_decay=0.05))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6 / 4e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=800, convert_to_iter_based=True),
]
_resized = dict(**_base_._resize, scale=256)  # crop ratio 0.875
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _base_._crop, _base_._pack]))
test_dataloader = val_dataloader
