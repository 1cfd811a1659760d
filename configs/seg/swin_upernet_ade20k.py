"""Swin-B with UperNet on ADE20K, from supervised pre-training on ImageNet-1K at 224 px.

tools/train.sh configs/seg/swin_upernet_ade20k.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 48.1 (paper, Tab. 4; mmseg has 47.99). Hyper-parameters as in mmseg.
mmpretrain publishes the classifier (swin-base_16xb64_in1k).
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
        type="mmpretrain.SwinTransformer",
        arch="base",
        img_size=224,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3,
        pad_small_map=True,
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
optim_wrapper = dict(
    optimizer=dict(weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0), norm=dict(decay_mult=0.0))
    ),
)
