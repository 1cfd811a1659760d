"""Twins-SVT-B with UperNet on ADE20K, from supervised pre-training on ImageNet-1K.

tools/train.sh configs/seg/twins_svt_upernet_ade20k.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 47.7 (paper, Tab. 4; mmseg has 48.04). Hyper-parameters as in mmseg.
mmpretrain publishes the classifier (twins-svt-base_8xb128_3rdparty_in1k).
"""

_base_ = [
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/seg_160k.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/seg.py",
]
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        type="mmpretrain.SVT",
        arch="base",
        out_indices=(0, 1, 2, 3),
        qkv_bias=True,
        norm_after_stage=True,
        drop_path_rate=0.2,
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(
    optimizer=dict(weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(position_encodings=dict(decay_mult=0.0), norm=dict(decay_mult=0.0))),
)
