"""Pyramid VisionLLaMA-S with UperNet on ADE20K, from supervised pre-training.

tools/train.sh configs/seg/pyramid_visionllama_small_upernet_ade20k.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. No mIoU is published for this size.
The release differs as for base: pyramid_visionllama_small_upernet_ade20k_released.py.
"""

_base_ = "./pyramid_visionllama_upernet_ade20k.py"
model = dict(
    backbone=dict(arch="small"),
    decode_head=dict(in_channels=[64, 128, 256, 512]),
    auxiliary_head=dict(in_channels=256),
)
