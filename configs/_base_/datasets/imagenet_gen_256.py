# ImageNet-1K in crops of 256 px as ADM makes them, and flips.
# Validations measure the loss of every 1,000th validation image, and draw one sample of its class.
data_preprocessor = dict(
    type="mmvisionllama.GenerationDataPreprocessor",
    num_classes=1000,
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    to_rgb=True,
)
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="ImageNet",
        data_root="data/imagenet",
        split="train",
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="mmvisionllama.CenterCropADM", crop_size=256),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=25,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ImageNet",
        data_root="data/imagenet",
        split="val",
        indices=list(range(0, 50000, 1000)),
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile"),
            dict(type="mmvisionllama.CenterCropADM", crop_size=256),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="mmvisionllama.DenoisingLoss")  # under noise that is always the same
test_evaluator = val_evaluator
