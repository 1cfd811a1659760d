"""Swin-S on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/swin_small_in1k.py --amp

8 GPUs x 128 images. Top-1 83.0 (paper, Tab. 2).
"""

_base_ = "./swin_in1k.py"
model = dict(backbone=dict(arch="small", drop_path_rate=0.3), head=dict(in_channels=768))
