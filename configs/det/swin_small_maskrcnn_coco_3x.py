"""Swin-S with Mask R-CNN on COCO, 36 epochs, from supervised pre-training: a baseline.

tools/train.sh configs/det/swin_small_maskrcnn_coco_3x.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. Box AP 47.6, mask AP 42.8 (paper, Tab. 5; mmdet has 48.2 and 43.2).
mmpretrain publishes the classifier (swin-small_16xb64_in1k).
"""

_base_ = [
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/det_36e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/det.py",
]
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmpretrain.SwinTransformer",
        arch="small",
        img_size=224,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
        pad_small_map=True,
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0))),
)
