"""DINOv3-B with Mask R-CNN as in ViTDet on COCO, 36 epochs.

tools/train.sh configs/det/dinov3_vitdet_coco.py --amp \
    --cfg-options model.backbone.init_cfg="dict(type=Pretrained,checkpoint=dinov3_base.safetensors)"

8 GPUs x 4 images, two batches to a step, the recipe of visionllama_vitdet_coco.py. AP not measured here.
The weights come from model.safetensors of huggingface.co/timm/vit_base_patch16_dinov3.lvd1689m, by
.venv/bin/python tools/convert_checkpoint.py model.safetensors dinov3_base.safetensors --accept-license dinov3
Each window has coordinates of -1 to 1 of its own; class token and registers see every window.
"""

_base_ = ["./visionllama_vitdet_coco.py", "../_base_/models/dinov3.py"]
model = dict(backbone=dict(**_base_._dinov3, out_norm="shared"))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_._tokens))
