# MNIST in its own files (docs/data.md), 28 px: 60,000 to train, the first 300 of the test images to validate.
data_preprocessor = dict(type="ClsDataPreprocessor", num_classes=10, mean=[127.5], std=[127.5])
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="MNIST",
        data_root="data/mnist",
        split="train",
        download=False,
        pipeline=[dict(type="PackInputs")],
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="MNIST",
        data_root="data/mnist",
        split="test",
        test_mode=True,
        download=False,
        indices=300,
        pipeline=[dict(type="PackInputs")],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="mmvisionllama.DenoisingLoss")  # under noise that is always the same
test_evaluator = val_evaluator
