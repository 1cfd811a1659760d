"""Pyramid VisionLLaMA-B with Mask R-CNN on COCO, 12 epochs, from supervised pre-training.

tools/train.sh configs/det/pyramid_visionllama_maskrcnn_coco_1x.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. No published result. Without load_from the backbone starts from random values.
"""

_base_ = "./pyramid_visionllama_maskrcnn_coco_3x.py"
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=1000, by_epoch=False),
    dict(type="MultiStepLR", milestones=[8, 11], gamma=0.1, begin=0, end=12, by_epoch=True),
]
train_cfg = dict(max_epochs=12)
