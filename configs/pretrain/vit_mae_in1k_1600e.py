"""MAE of ViT-B on ImageNet-1K, 1600 epochs: the baseline.

tools/train.sh configs/pretrain/vit_mae_in1k_1600e.py --amp

8 GPUs x 512 images. What it is good for: configs/cls/vit_mae_finetune_in1k.py.
"""

_base_ = [
    "../_base_/models/mae.py",
    "../_base_/datasets/imagenet_mae.py",
    "../_base_/schedules/mae_1600e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/pretrain.py",
]
model = dict(
    backbone=dict(_delete_=True, type="MAEViT", arch="base", img_size=224, patch_size=16, mask_ratio=0.75),
)
