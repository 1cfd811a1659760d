"""Twins-SVT-S on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/twins_svt_small_in1k.py --amp

8 GPUs x 128 images. Top-1 81.7 (paper, Tab. 2).
"""

_base_ = "./twins_svt_in1k.py"
model = dict(backbone=dict(arch="small", drop_path_rate=0.2), head=dict(in_channels=512))
