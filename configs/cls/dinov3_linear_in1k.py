"""Linear probe of DINOv3-B's class token on ImageNet-1K, 90 epochs.

tools/train.sh configs/cls/dinov3_linear_in1k.py --amp \
    --cfg-options model.backbone.init_cfg="dict(type=Pretrained,checkpoint=dinov3_base.safetensors)"

8 GPUs x 2048 images, the recipe of visionllama_mae_linear_in1k.py, not DINOv3's. Top-1 not measured here.
The weights come from model.safetensors of huggingface.co/timm/vit_base_patch16_dinov3.lvd1689m, by
.venv/bin/python tools/convert_checkpoint.py model.safetensors dinov3_base.safetensors --accept-license dinov3
"""

_base_ = ["./visionllama_mae_linear_in1k.py", "../_base_/models/dinov3.py"]
model = dict(backbone=dict(**_base_._dinov3, out_type="cls_token", out_norm="tokens"))
