# DigitScenes in ImageNet's layout (tools/prepare_digitscenes.py): one digit to an image, ten classes.
data_preprocessor = dict(
    num_classes=10, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CustomDataset",
        data_root="data/digitscenes/cls",
        data_prefix="train",
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            # No flips: a mirrored digit is another digit or none.
            dict(type="RandomResizedCrop", scale=64, crop_ratio_range=(0.6, 1.0)),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CustomDataset",
        data_root="data/digitscenes/cls",
        data_prefix="val",
        pipeline=[dict(type="mmvisionllama.LoadImageFromFile"), dict(type="PackInputs")],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="Accuracy", topk=(1,))
test_evaluator = val_evaluator
