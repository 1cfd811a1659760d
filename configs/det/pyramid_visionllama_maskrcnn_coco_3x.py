"""Pyramid VisionLLaMA-B with Mask R-CNN on COCO, 36 epochs, from supervised pre-training.

tools/train.sh configs/det/pyramid_visionllama_maskrcnn_coco_3x.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. Box AP 49.1, mask AP 43.8 (paper, Tab. 5).
The release has LayerScale and quirks: pyramid_visionllama_maskrcnn_coco_3x_released.py.
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
        type="mmvisionllama.PyramidVisionLLaMA",
        arch="base",
        img_size=224,  # of pre-training: positions scale to its grids
        out_type="featmap",
        out_indices=(0, 1, 2, 3),
        layer_scale=None,
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
