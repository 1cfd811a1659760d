"""DeiT3-S on ImageNet-1K at 224 px, 800 epochs.

tools/train.sh configs/cls/deit3_small_in1k.py --amp

8 GPUs x 256 images. Top-1 81.4 (paper, Tab. 2).
DeiT III is this with learned positions and GELU; mmpretrain's DeiT3 differs in drop-path and LayerScale.
"""

_base_ = "./visionllama_small_in1k.py"
model = dict(
    backbone=dict(
        rope=None,
        pos_embed=dict(type="LearnedPosEmbed"),
        ffn=dict(type="GELUFFN"),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
