# MNIST at 32 px. A validation shows the first 500 test images at five sizes, at the last one stretched.
_base_ = "./mnist_cls.py"
train_dataloader = dict(
    dataset=dict(
        serialize_data=False,  # to pickle 60,000 images takes seconds
        pipeline=[
            dict(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.6, 1.0)),
            dict(type="PackInputs"),
        ],
    )
)
_at_sizes = [
    dict(
        **{**_base_._test, "pipeline": [dict(type="Resize", scale=size), dict(type="PackInputs")]},
        indices=500,
        serialize_data=False,
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
