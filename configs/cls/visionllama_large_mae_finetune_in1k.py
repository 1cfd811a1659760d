"""VisionLLaMA-L fine-tuned on ImageNet-1K after MAE, 50 epochs.

tools/train.sh configs/cls/visionllama_large_mae_finetune_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_mae_in1k_800e/epoch_800.pth

8 GPUs x 128 images. Top-1 85.5 after 800 epochs of MAE (paper, Tab. 3),
most likely of the wide encoder. The release has that encoder:
visionllama_large_mae_finetune_in1k_released.py.
"""

_base_ = "./visionllama_mae_finetune_in1k.py"
model = dict(backbone=dict(arch="large"), head=dict(in_channels=1024))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-6, begin=5, end=50, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=50)
