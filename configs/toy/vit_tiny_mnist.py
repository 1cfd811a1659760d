"""ViT-tiny classifies MNIST, from scratch.

tools/train.sh configs/toy/vit_tiny_mnist.py

One process on two CPU cores, 32 images. Top-1 27.2 to 32.2 (three seeds).
VisionLLaMA-tiny with learned positions and GELU, under the same recipe.
"""

_base_ = "./visionllama_tiny_mnist.py"
model = dict(backbone=dict(rope=None, pos_embed=dict(type="LearnedPosEmbed"), ffn=dict(type="GELUFFN")))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
