"""ViT-5-B on ImageNet-1K at 224 px, 20 epochs after those of vit5_in1k_pre192.py.

tools/train.sh configs/cls/vit5_in1k.py --amp \
    --cfg-options load_from=work_dirs/vit5_in1k_pre192/epoch_800.pth

8 GPUs x 64 images. Top-1 84.2 (arXiv 2602.08071; published, not measured here).
The authors start from the moving average of the first stage's weights; this recipe keeps none.
"""

_base_ = ["./visionllama_in1k.py", "../_base_/models/vit5.py"]
model = dict(backbone=dict(**_base_._vit5, drop_path_rate=0.25))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_._tokens))
