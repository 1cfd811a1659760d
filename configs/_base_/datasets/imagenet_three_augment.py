# ImageNet-1K as DeiT III trains on it: 3-Augment, and every image three times in a batch.
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
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="RandomResizedCrop", scale=224, backend="pillow", interpolation="bicubic"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="mmvisionllama.ThreeAugment", color_jitter=0.3),
            dict(type="PackInputs"),
        ],
    ),
)
