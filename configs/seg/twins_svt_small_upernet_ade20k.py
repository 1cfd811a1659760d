"""Twins-SVT-S with UperNet on ADE20K, from supervised pre-training on ImageNet-1K.

tools/train.sh configs/seg/twins_svt_small_upernet_ade20k.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 46.2 (Twins; mmseg has 46.08). Hyper-parameters as in mmseg.
mmpretrain publishes the classifier (twins-svt-small_3rdparty_8xb128_in1k).
"""

_base_ = "./twins_svt_upernet_ade20k.py"
model = dict(
    backbone=dict(arch="small"),
    decode_head=dict(in_channels=[64, 128, 256, 512]),
    auxiliary_head=dict(in_channels=256),
)
