"""DeiT3-L with mean pooling on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/deit3_large_in1k_gap.py --amp \
    --cfg-options load_from=work_dirs/deit3_large_in1k_pre160_gap/epoch_800.pth

8 GPUs x 64 images. Top-1 84.2; unchanged 84.5 (paper, Tab. 7).
Asks whether the loss without a class token is VisionLLaMA's own: the baseline to its L.
"""

_base_ = "../cls/visionllama_large_in1k.py"
# Repeats deit3_large_in1k.py: under it, this would be a fifth generation of files.
model = dict(
    backbone=dict(
        rope=None,
        pos_embed=dict(type="LearnedPosEmbed"),
        ffn=dict(type="GELUFFN"),
        out_type="avg_featmap",
    ),
)
_train = [_base_._load_crop, _base_._flip, _base_._randaug, _base_._pack]
train_dataloader = dict(dataset=dict(pipeline=_train))  # no random erasing
# Without a class token to spare weight decay.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(_delete_=True, pos_embed=dict(decay_mult=0.0))))
