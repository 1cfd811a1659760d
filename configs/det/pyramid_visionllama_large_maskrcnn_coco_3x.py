"""Pyramid VisionLLaMA-L with Mask R-CNN on COCO, 36 epochs, from supervised pre-training.

tools/train.sh configs/det/pyramid_visionllama_large_maskrcnn_coco_3x.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. No published result. Without load_from the backbone starts from random values.
"""

_base_ = "./pyramid_visionllama_maskrcnn_coco_3x.py"
model = dict(
    backbone=dict(arch="large", drop_path_rate=0.3),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
