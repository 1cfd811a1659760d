"""DeiT3-L on ImageNet-1K at 224 px, 20 epochs after those of deit3_large_in1k_pre160.py.

tools/train.sh configs/cls/deit3_large_in1k.py --amp \
    --cfg-options load_from=work_dirs/deit3_large_in1k_pre160/epoch_800.pth

8 GPUs x 64 images. Top-1 84.5 (paper, Tab. 2: its own training; DeiT III's weights have 84.87). No random
erasing, as in DeiT III.
DeiT III is this with learned positions and GELU; mmpretrain's DeiT3 differs in drop-path and LayerScale.
"""

_base_ = "./visionllama_large_in1k.py"
model = dict(backbone=dict(rope=None, pos_embed=dict(type="LearnedPosEmbed"), ffn=dict(type="GELUFFN")))
_train = [_base_._load_crop, _base_._flip, _base_._randaug, _base_._pack]
train_dataloader = dict(dataset=dict(pipeline=_train))  # no random erasing
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
