"""Pyramid VisionLLaMA-S with PEG on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/ablation/pyramid_visionllama_small_in1k_peg.py --amp

8 GPUs x 128 images. Top-1 81.8; unchanged 81.6 (paper, Tab. 7).
Asks whether the convolutions (PEG) that give Twins its positions still help beside rotary ones.
"""

_base_ = "../cls/pyramid_visionllama_small_in1k.py"
model = dict(backbone=dict(pos_embed=dict(type="PEG")))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
