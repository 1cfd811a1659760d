# COCO 2017, instances: 117,266 training images with annotations, 5,000 for validation, 80 classes.
# Training images in many sizes, half of them cropped (DETR, Sparse R-CNN); evaluation at 1333 x 800,
# two images of one size together, with the results of one by one up to rounding.
_sizes = [(side, 1333) for side in range(480, 801, 32)]
_load_train = dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10)
_load = dict(type="mmvisionllama.LoadImageFromFile")
_mark = dict(type="mmvisionllama.MarkMissingMasks")
_annotate = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
_flip = dict(type="RandomFlip", prob=0.5)
_pack = dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"))
_train = dict(
    type="CocoDataset",
    data_root="data/coco",
    ann_file="annotations/instances_train2017.json",
    data_prefix=dict(img="train2017"),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        **_train,
        pipeline=[
            _load_train,
            _mark,
            _annotate,
            _flip,
            dict(
                type="RandomChoice",
                transforms=[
                    [dict(type="RandomChoiceResize", scales=_sizes, keep_ratio=True)],
                    [
                        dict(
                            type="RandomChoiceResize",
                            scales=[(400, 1333), (500, 1333), (600, 1333)],
                            keep_ratio=True,
                        ),
                        dict(
                            type="RandomCrop",
                            crop_type="absolute_range",
                            crop_size=(384, 600),
                            allow_negative_crop=True,
                        ),
                        dict(type="RandomChoiceResize", scales=_sizes, keep_ratio=True),
                    ],
                ],
            ),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    batch_sampler=dict(type="mmvisionllama.SameSizeBatchSampler"),
    dataset=dict(
        type="CocoDataset",
        data_root="data/coco",
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017"),
        test_mode=True,
        pipeline=[_load, dict(type="Resize", scale=(1333, 800), keep_ratio=True), _mark, _annotate, _pack],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="FasterCocoMetric",
    ann_file="data/coco/annotations/instances_val2017.json",
    metric=["bbox", "segm"],
)
test_evaluator = val_evaluator
