"""Swin-T on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/swin_tiny_in1k.py --amp

8 GPUs x 128 images. Top-1 81.3 (paper, Tab. 2).
"""

_base_ = "./swin_in1k.py"
model = dict(backbone=dict(arch="tiny", drop_path_rate=0.2), head=dict(in_channels=768))
