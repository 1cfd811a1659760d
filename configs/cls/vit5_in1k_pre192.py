"""ViT-5-B on ImageNet-1K at 192 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/vit5_in1k_pre192.py --amp

8 GPUs x 256 images. The second stage, and the result: vit5_in1k.py.
Recipe and numbers of arXiv 2602.08071; published, not measured here.
"""

_base_ = ["./visionllama_in1k_pre192.py", "../_base_/models/vit5.py"]
model = dict(backbone=_base_._vit5)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=dict(custom_keys=_base_._tokens))
