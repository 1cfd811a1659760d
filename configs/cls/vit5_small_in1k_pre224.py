"""ViT-5-S on ImageNet-1K at 224 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/vit5_small_in1k_pre224.py --amp

8 GPUs x 256 images. The second stage, and the result: vit5_small_in1k.py.
Recipe and numbers of arXiv 2602.08071; published, not measured here.
"""

_base_ = ["./visionllama_small_in1k.py", "../_base_/models/vit5.py"]
model = dict(backbone=_base_._vit5)
optim_wrapper = dict(
    optimizer=dict(lr=4e-3, weight_decay=0.05), paramwise_cfg=dict(custom_keys=_base_._tokens)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6 / 4e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=800, convert_to_iter_based=True),
]
