"""Linear probe of VisionLLaMA-L on ImageNet-1K after MAE, 90 epochs.

tools/train.sh configs/cls/visionllama_large_mae_linear_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_mae_in1k_800e/epoch_800.pth

8 GPUs x 2048 images. Top-1 77.3 after 800 epochs of MAE (paper, Tab. 3),
most likely of the wide encoder: visionllama_large_mae_linear_in1k_released.py.
"""

_base_ = "./visionllama_mae_linear_in1k.py"
model = dict(
    backbone=dict(arch="large", frozen_stages=24),
    neck=dict(input_features=1024),
    head=dict(in_channels=1024),
)
