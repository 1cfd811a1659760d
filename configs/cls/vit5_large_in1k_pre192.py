"""ViT-5-L on ImageNet-1K at 192 px, 400 epochs: the first of two stages.

tools/train.sh configs/cls/vit5_large_in1k_pre192.py --amp

8 GPUs x 256 images. The second stage, and the result: vit5_large_in1k.py.
Recipe and numbers of arXiv 2602.08071; published, not measured here.
"""

_base_ = ["./visionllama_in1k_pre192.py", "../_base_/models/vit5.py"]
model = dict(
    backbone=dict(**_base_._vit5, arch="large", drop_path_rate=0.35),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=dict(custom_keys=_base_._tokens))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6 / 3e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)
