"""MAE of VisionLLaMA-B on ImageNet-1K, 1600 epochs.

tools/train.sh configs/pretrain/visionllama_mae_in1k_1600e.py --amp

8 GPUs x 512 images. Fine-tuning: configs/cls/visionllama_mae_finetune_in1k.py.
The release has a feed-forward four times as wide: visionllama_mae_in1k_1600e_released.py.
"""

_base_ = "./visionllama_mae_in1k_800e.py"
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=40, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=40, end=1600, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=1600)
