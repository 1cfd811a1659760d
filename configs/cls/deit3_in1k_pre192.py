"""DeiT3-B on ImageNet-1K at 192 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/deit3_in1k_pre192.py --amp

8 GPUs x 256 images, weight decay 0.05 as in DeiT III. The second stage, and the result: deit3_in1k.py.
DeiT III is this with learned positions and GELU; mmpretrain's DeiT3 differs in drop-path and LayerScale.
"""

_base_ = "./visionllama_in1k_pre192.py"
model = dict(backbone=dict(rope=None, pos_embed=dict(type="LearnedPosEmbed"), ffn=dict(type="GELUFFN")))
optim_wrapper = dict(
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))),
)
