# DigitScenes in ADE20K's layout (tools/prepare_digitscenes.py): background, ten digits, label 0 = unlabelled.
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="mmvisionllama.DigitScenesSegDataset",
        data_root="data/digitscenes/seg",
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="LoadAnnotations"),
            # No flips: a mirrored digit is another digit or none.
            dict(type="RandomResize", scale=(64, 64), ratio_range=(0.8, 1.25), keep_ratio=True),
            dict(type="RandomCrop", crop_size=(64, 64)),
            dict(type="PackSegInputs"),
        ],
    ),
)
# mmseg's tools read this by its name, and look for a loader of exactly this type in it.
test_pipeline = [
    dict(type="LoadImageFromFile", _scope_="mmvisionllama"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mmvisionllama.DigitScenesSegDataset",
        data_root="data/digitscenes/seg",
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
