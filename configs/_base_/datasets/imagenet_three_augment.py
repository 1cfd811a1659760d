# ImageNet-1K as DeiT III trains on it: 3-Augment, and every image three times in a batch.
_load_train = dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10)
_random_crop = dict(type="RandomResizedCrop", backend="pillow", interpolation="bicubic")
_flip = dict(type="RandomFlip", prob=0.5)
_three_augment = dict(type="mmvisionllama.ThreeAugment", color_jitter=0.3)
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="RepeatAugSampler", shuffle=True),
    dataset=dict(
        type="ImageNet",
        data_root="data/imagenet",
        split="train",
        pipeline=[
            _load_train,
            dict(**_random_crop, scale=224),
            _flip,
            _three_augment,
            dict(type="PackInputs"),
        ],
    ),
)
