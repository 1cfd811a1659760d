"""Twins-SVT-B with Mask R-CNN on COCO, 36 epochs, from supervised pre-training: a baseline.

tools/train.sh configs/det/twins_svt_maskrcnn_coco_3x.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. Box AP 48.0, mask AP 43.0 (paper, Tab. 5).
mmpretrain publishes the classifier (twins-svt-base_8xb128_3rdparty_in1k).
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
        type="mmpretrain.SVT",
        arch="base",
        out_indices=(0, 1, 2, 3),
        qkv_bias=True,
        norm_after_stage=True,
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(position_encodings=dict(decay_mult=0.0))))
