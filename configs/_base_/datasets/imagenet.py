# ImageNet-1K: 1,281,167 training and 50,000 validation images, 1,000 classes: evaluation.
# On the middle of the image (crop ratio 0.875). What training does to its images is a file of its own.
data_preprocessor = dict(
    num_classes=1000, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
_load = dict(type="mmvisionllama.LoadImageFromFile")
_resize = dict(type="ResizeEdge", edge="short", backend="pillow", interpolation="bicubic")
_crop = dict(type="CenterCrop", crop_size=224)
_pack = dict(type="PackInputs")
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ImageNet",
        data_root="data/imagenet",
        split="val",
        pipeline=[_load, dict(**_resize, scale=256), _crop, _pack],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="Accuracy", topk=(1, 5))
test_evaluator = val_evaluator
