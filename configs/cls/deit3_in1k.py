"""DeiT3-B on ImageNet-1K at 224 px, 20 epochs after those of deit3_in1k_pre192.py.

tools/train.sh configs/cls/deit3_in1k.py --amp \
    --cfg-options load_from=work_dirs/deit3_in1k_pre192/epoch_800.pth

8 GPUs x 64 images. Top-1 83.8 (paper, Tab. 2). No random erasing, as in DeiT III.
DeiT III is this with learned positions and GELU; mmpretrain's DeiT3 differs in drop-path and LayerScale.
"""

_base_ = "./visionllama_in1k.py"
model = dict(backbone=dict(rope=None, pos_embed=dict(type="LearnedPosEmbed"), ffn=dict(type="GELUFFN")))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
