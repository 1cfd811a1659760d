"""DeiT3-L with mean pooling on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/ablation/deit3_large_in1k_pre160_gap.py --amp

8 GPUs x 256 images. After the second stage, deit3_large_in1k_gap.py:
Top-1 84.2; unchanged 84.5 (paper, Tab. 7).
Asks whether the loss without a class token is VisionLLaMA's own: the baseline to its L.
"""

_base_ = "../cls/visionllama_large_in1k_pre160.py"
# Repeats deit3_large_in1k_pre160.py: under it, this would be a fifth generation of files.
model = dict(
    backbone=dict(
        rope=None,
        pos_embed=dict(type="LearnedPosEmbed"),
        ffn=dict(type="GELUFFN"),
        out_type="avg_featmap",
    ),
)
# Without a class token to spare weight decay.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(_delete_=True, pos_embed=dict(decay_mult=0.0))))
