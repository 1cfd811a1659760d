# MNIST in its own files (docs/data.md), enlarged to 64 px so that one model serves it and DigitScenes.
# Validations evaluate the first 500 test images; a test evaluates all 10,000.
data_preprocessor = dict(
    num_classes=10,
    mean=[33.3, 33.3, 33.3],  # three, so that the one channel of the images becomes the three of the models
    std=[78.6, 78.6, 78.6],
    to_rgb=False,
)
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="MNIST",
        data_root="data/mnist",
        split="train",
        download=False,
        pipeline=[
            dict(type="RandomResizedCrop", scale=64, crop_ratio_range=(0.6, 1.0)),
            dict(type="PackInputs"),
        ],
    ),
)
_test = dict(
    type="MNIST",
    data_root="data/mnist",
    split="test",
    test_mode=True,
    download=False,
    pipeline=[dict(type="Resize", scale=64), dict(type="PackInputs")],
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(indices=500, **_test),
)
test_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=_test,
)

val_evaluator = dict(type="Accuracy", topk=(1,))
test_evaluator = val_evaluator
