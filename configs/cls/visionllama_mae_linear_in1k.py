"""Linear probe of VisionLLaMA-B on ImageNet-1K after MAE, 90 epochs.

tools/train.sh configs/cls/visionllama_mae_linear_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_mae_in1k_800e/epoch_800.pth

8 GPUs x 2048 images. Top-1 69.7 after 800 epochs of MAE, 71.7 after 1600 (paper, Tab. 3),
most likely of the wide encoder: visionllama_mae_linear_in1k_released.py.
"""

_base_ = [
    "../_base_/models/linear_probe.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_crop.py",
    "../_base_/schedules/linear_probe_90e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(backbone=dict(arch="base", frozen_stages=12))
train_dataloader = dict(batch_size=2048, drop_last=True)
