"""ViT-5-B with UperNet on ADE20K, from a classifier.

tools/train.sh configs/seg/vit5_upernet_ade20k.py --amp \
    --cfg-options load_from=work_dirs/vit5_in1k/epoch_20.pth

8 GPUs x 2 images, the recipe of visionllama_upernet_ade20k.py. mIoU not measured here.
Public weights, a .pth of ViT-5-B from huggingface.co/FengWang3211/ViT-5, become such a classifier by
.venv/bin/python tools/convert_checkpoint.py vit5_base.pth vit5_base.safetensors
Positions, added and rotary, scale to the 14 x 14 grid of 224 px.
"""

_base_ = ["./visionllama_upernet_ade20k.py", "../_base_/models/vit5.py"]
model = dict(backbone=dict(**_base_._vit5, with_cls_token=True, layer_scale=1e-4))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(**_base_._tokens, cls_token=dict(decay_mult=0.0))))
