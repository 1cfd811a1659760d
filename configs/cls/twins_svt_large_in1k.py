"""Twins-SVT-L on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/twins_svt_large_in1k.py --amp

8 GPUs x 128 images. Top-1 83.7 (paper, Tab. 2).
"""

_base_ = "./twins_svt_in1k.py"
model = dict(backbone=dict(arch="large", drop_path_rate=0.5), head=dict(in_channels=1024))
