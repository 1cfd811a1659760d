# ImageNet-1K as DeiT III trains on it: 3-Augment, and every image three times in a batch.
_load_crop = dict(type="mmvisionllama.LoadRandomResizedCrop", max_corrupt=10)
_flip = dict(type="mmvisionllama.RandomFlip", prob=0.5)
_three_augment = dict(type="mmvisionllama.ThreeAugment", color_jitter=0.3)
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="RepeatAugSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="ImageNet",
        data_root="data/imagenet",
        split="train",
        pipeline=[
            dict(**_load_crop, scale=224),
            _flip,
            _three_augment,
            dict(type="PackInputs"),
        ],
    ),
)
