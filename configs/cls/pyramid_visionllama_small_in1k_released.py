"""Pyramid VisionLLaMA-S on ImageNet-1K, as the released code trains it.

tools/train.sh configs/cls/pyramid_visionllama_small_in1k_released.py --amp

8 GPUs x 128 images. Top-1 81.6 (paper, Tab. 2).
Unlike the paper: no repeated augmentation, rate down to 1e-5, LayerScale, GSA keys off their places, padded
tokens attended to, and the last norm applied again after pooling.
"""

_base_ = "./pyramid_visionllama_in1k_released.py"
model = dict(backbone=dict(arch="small", drop_path_rate=0.2), head=dict(in_channels=512))
