"""UperNet on ADE20K over a frozen DINOv3-B: the heads alone are trained.

tools/train.sh configs/seg/dinov3_frozen_upernet_ade20k.py --amp \
    --cfg-options model.backbone.init_cfg="dict(type=Pretrained,checkpoint=dinov3_base.safetensors)"

8 GPUs x 2 images, the recipe of visionllama_upernet_ade20k.py. mIoU not measured here.
Where the weights come from: dinov3_upernet_ade20k.py, which trains every layer.
"""

_base_ = "./dinov3_upernet_ade20k.py"
model = dict(backbone=dict(frozen_stages=12, drop_path_rate=0.0))
