"""Swin-S with UperNet on ADE20K, from supervised pre-training on ImageNet-1K at 224 px.

tools/train.sh configs/seg/swin_small_upernet_ade20k.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 47.6 (paper, Tab. 4; mmseg has 47.72). Hyper-parameters as in mmseg.
mmpretrain publishes the classifier (swin-small_16xb64_in1k).
"""

_base_ = "./swin_upernet_ade20k.py"
model = dict(
    backbone=dict(arch="small"),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
