"""Linear probe of ViT-L on ImageNet-1K after MAE, 90 epochs: the baseline.

tools/train.sh configs/cls/vit_large_mae_linear_in1k.py --amp \
    --cfg-options load_from=work_dirs/vit_large_mae_in1k_800e/epoch_800.pth

8 GPUs x 2048 images. Top-1 73.7 after 800 epochs of MAE (paper, Tab. 3).
It probes the class token behind the final norm; VisionLLaMA has none and probes the mean of its patches.
"""

_base_ = "./vit_mae_linear_in1k.py"
model = dict(
    backbone=dict(arch="large", frozen_stages=24),
    neck=dict(input_features=1024),
    head=dict(in_channels=1024),
)
