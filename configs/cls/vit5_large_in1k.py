"""ViT-5-L on ImageNet-1K at 224 px, 20 epochs after those of vit5_large_in1k_pre192.py.

tools/train.sh configs/cls/vit5_large_in1k.py --amp \
    --cfg-options load_from=work_dirs/vit5_large_in1k_pre192/epoch_400.pth

8 GPUs x 64 images. Top-1 84.9 (arXiv 2602.08071; published, not measured here).
The authors start from the moving average of the first stage's weights; this recipe keeps none.
"""

_base_ = "./vit5_in1k.py"
model = dict(backbone=dict(arch="large", drop_path_rate=0.5), head=dict(in_channels=1024))
