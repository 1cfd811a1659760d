# COCO 2017, instances, with large-scale jitter to 1024 px (ViTDet); evaluation at 1024 px. The model pads, so
# that no box can be found in what is padded.
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        data_root="data/coco",
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017"),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="mmvisionllama.MarkMissingMasks"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomResize", scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True),
            dict(
                type="RandomCrop",
                crop_type="absolute_range",
                crop_size=(1024, 1024),
                recompute_bbox=True,
                allow_negative_crop=True,
            ),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        data_root="data/coco",
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017"),
        test_mode=True,
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile"),
            dict(type="Resize", scale=(1024, 1024), keep_ratio=True),
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
    ann_file="data/coco/annotations/instances_val2017.json",
    metric=["bbox", "segm"],
)
test_evaluator = val_evaluator
