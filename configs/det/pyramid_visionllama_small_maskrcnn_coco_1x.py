"""Pyramid VisionLLaMA-S with Mask R-CNN on COCO, 12 epochs, from supervised pre-training.

tools/train.sh configs/det/pyramid_visionllama_small_maskrcnn_coco_1x.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. No published result. Without load_from the backbone starts from random values.
"""

_base_ = "./pyramid_visionllama_maskrcnn_coco_1x.py"
model = dict(
    backbone=dict(arch="small", drop_path_rate=0.2),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
