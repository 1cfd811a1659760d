"""DeiT3-L on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/deit3_large_in1k_pre160.py --amp

8 GPUs x 256 images. The second stage, and the result: deit3_large_in1k.py.
The number is of the paper's own training, so by its recipe (Tab. 13: weight decay 0.02), not DeiT III's.
DeiT III is this with learned positions and GELU; mmpretrain's DeiT3 differs in drop-path and LayerScale.
"""

_base_ = "./visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(rope=None, pos_embed=dict(type="LearnedPosEmbed"), ffn=dict(type="GELUFFN")))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
