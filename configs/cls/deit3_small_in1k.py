"""DeiT3-S on ImageNet-1K at 224 px, 800 epochs.

tools/train.sh configs/cls/deit3_small_in1k.py --amp

8 GPUs x 256 images. Top-1 81.4 (paper, Tab. 2), DeiT III's own number, so by DeiT III's lr 4e-3 and weight
decay 0.05.
DeiT III is this with learned positions and GELU; mmpretrain's DeiT3 differs in drop-path and LayerScale.
"""

_base_ = "./visionllama_small_in1k.py"
model = dict(backbone=dict(rope=None, pos_embed=dict(type="LearnedPosEmbed"), ffn=dict(type="GELUFFN")))
optim_wrapper = dict(
    optimizer=dict(lr=4e-3, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6 / 4e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=800, convert_to_iter_based=True),
]
