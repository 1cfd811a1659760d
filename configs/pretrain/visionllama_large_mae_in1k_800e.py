"""MAE of VisionLLaMA-L on ImageNet-1K, 800 epochs.

tools/train.sh configs/pretrain/visionllama_large_mae_in1k_800e.py --amp

8 GPUs x 512 images. Fine-tuning: configs/cls/visionllama_large_mae_finetune_in1k.py.
The release has a feed-forward four times as wide: visionllama_large_mae_in1k_800e_released.py.
"""

_base_ = "./visionllama_mae_in1k_800e.py"
model = dict(backbone=dict(arch="large"), neck=dict(embed_dim=1024))
