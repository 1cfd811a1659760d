# ImageNet-1K, crops and flips alone: linear probes. Pillow resizes, bicubic, as in MAE and in the evaluation.
_load_train = dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10)
_random_crop = dict(type="RandomResizedCrop", scale=224, backend="pillow", interpolation="bicubic")
_flip = dict(type="RandomFlip", prob=0.5)
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="ImageNet",
        data_root="data/imagenet",
        split="train",
        pipeline=[_load_train, _random_crop, _flip, dict(type="PackInputs")],
    ),
)
