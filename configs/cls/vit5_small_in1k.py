"""ViT-5-S on ImageNet-1K at 224 px, 20 epochs after those of vit5_small_in1k_pre224.py.

tools/train.sh configs/cls/vit5_small_in1k.py --amp \
    --cfg-options load_from=work_dirs/vit5_small_in1k_pre224/epoch_800.pth

8 GPUs x 64 images. Top-1 82.2 (arXiv 2602.08071; published, not measured here).
The authors start from the moving average of the first stage's weights; this recipe keeps none.
"""

_base_ = "./vit5_in1k.py"
model = dict(backbone=dict(arch="small", drop_path_rate=0.05), head=dict(in_channels=384))
