"""Pyramid VisionLLaMA-S with learned positions added on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/ablation/pyramid_visionllama_small_in1k_learned_pos_embed.py --amp

8 GPUs x 128 images. Top-1 81.6; unchanged 81.6 (paper, Tab. 7).
Asks whether rotary positions leave anything for absolute ones to add; here a table in every stage.
"""

_base_ = "../cls/pyramid_visionllama_small_in1k.py"
model = dict(backbone=dict(pos_embed=dict(type="LearnedPosEmbed")))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
