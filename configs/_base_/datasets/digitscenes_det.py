# DigitScenes in COCO's layout (tools/prepare_digitscenes.py): one or two digits to an image, ten classes.
_classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        metainfo=dict(classes=_classes),
        data_root="data/digitscenes/det",
        ann_file="annotations/instances_train.json",
        data_prefix=dict(img="images/train"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="mmvisionllama.MarkMissingMasks"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            # No flips: a mirrored digit is another digit or none.
            dict(type="RandomResize", scale=(64, 64), ratio_range=(0.8, 1.3), keep_ratio=True),
            dict(type="RandomCrop", crop_size=(64, 64), recompute_bbox=True),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(4, 4)),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        metainfo=dict(classes=_classes),
        data_root="data/digitscenes/det",
        ann_file="annotations/instances_val.json",
        data_prefix=dict(img="images/val"),
        test_mode=True,
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile"),
            dict(type="Resize", scale=(64, 64), keep_ratio=True),
            dict(type="mmvisionllama.MarkMissingMasks"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(
                type="PackDetInputs",
                meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
            ),
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="FasterCocoMetric",
    ann_file="data/digitscenes/det/annotations/instances_val.json",
    metric=["bbox", "segm"],
)
test_evaluator = val_evaluator
