"""MAE of ViT-B on ImageNet-1K, 800 epochs: the baseline.

tools/train.sh configs/pretrain/vit_mae_in1k_800e.py --amp

8 GPUs x 512 images. Fine-tuning: configs/cls/vit_mae_finetune_in1k.py.
"""

_base_ = "./visionllama_mae_in1k_800e.py"
model = dict(
    backbone=dict(_delete_=True, type="MAEViT", arch="base", img_size=224, patch_size=16, mask_ratio=0.75),
)
