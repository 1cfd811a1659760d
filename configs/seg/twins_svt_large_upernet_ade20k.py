"""Twins-SVT-L with UperNet on ADE20K, from supervised pre-training on ImageNet-1K.

tools/train.sh configs/seg/twins_svt_large_upernet_ade20k.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 48.8 (paper, Tab. 4; mmseg has 49.65). Hyper-parameters as in mmseg.
mmpretrain publishes the classifier (twins-svt-large_3rdparty_16xb64_in1k).
"""

_base_ = "./twins_svt_upernet_ade20k.py"
model = dict(
    backbone=dict(arch="large", drop_path_rate=0.3),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
