"""MAE of ViT-L on ImageNet-1K, 800 epochs: the baseline.

tools/train.sh configs/pretrain/vit_large_mae_in1k_800e.py --amp

8 GPUs x 512 images. Fine-tuning: configs/cls/vit_large_mae_finetune_in1k.py.
"""

_base_ = "./vit_mae_in1k_800e.py"
model = dict(backbone=dict(arch="large"), neck=dict(embed_dim=1024))
