"""ResNet-50 with Mask R-CNN on COCO, 36 epochs, from supervised pre-training: a baseline.

tools/train.sh configs/det/resnet50_maskrcnn_coco_3x.py --amp \
    --cfg-options model.backbone.init_cfg.checkpoint=CLASSIFIER.pth

8 GPUs x 2 images. No result was published with this schedule: AdamW and the training images of the others.
Without the option, torchvision's weights are downloaded.
"""

_base_ = [
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/det_36e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/det.py",
]
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(_delete_=True, bn=dict(decay_mult=0.0))))
