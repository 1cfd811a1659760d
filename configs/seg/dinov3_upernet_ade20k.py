"""DINOv3-B with UperNet on ADE20K, every layer trained.

tools/train.sh configs/seg/dinov3_upernet_ade20k.py --amp \
    --cfg-options model.backbone.init_cfg="dict(type=Pretrained,checkpoint=dinov3_base.safetensors)"

8 GPUs x 2 images, the recipe of visionllama_upernet_ade20k.py. mIoU not measured here.
The weights come from model.safetensors of huggingface.co/timm/vit_base_patch16_dinov3.lvd1689m, by
.venv/bin/python tools/convert_checkpoint.py model.safetensors dinov3_base.safetensors --accept-license dinov3
Blocks see class token and registers, the heads do not; one final norm acts on all four maps.
"""

_base_ = ["./visionllama_upernet_ade20k.py", "../_base_/models/dinov3.py"]
model = dict(backbone=dict(**_base_._dinov3, out_norm="shared"))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_._tokens))
