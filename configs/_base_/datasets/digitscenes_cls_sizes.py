# DigitScenes at 32 px. A validation shows its images at five sizes, at the last one stretched.
_base_ = "./digitscenes_cls.py"
_load = dict(type="mmvisionllama.LoadImageFromFile")
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            {**_load, "max_corrupt": 10},
            # No flips: a mirrored digit is another digit or none.
            dict(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.6, 1.0)),
            dict(type="PackInputs"),
        ]
    )
)
_at_sizes = [
    dict(
        type="CustomDataset",
        data_root="data/digitscenes/cls",
        data_prefix="val",
        pipeline=[_load, dict(type="Resize", scale=size), dict(type="PackInputs")],
    )
    for size in ((24, 24), (32, 32), (48, 48), (64, 64), (48, 32))  # width, height
]
val_dataloader = dict(
    batch_sampler=dict(type="mmvisionllama.SameSizeBatchSampler"),
    dataset=dict(_delete_=True, type="ConcatDataset", datasets=_at_sizes),
)
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type="mmvisionllama.AccuracyBySize")
test_evaluator = val_evaluator
