# ImageNet-1K, crops and flips alone: linear probes. Antialiased, bicubic, as in MAE and in the evaluation.
_load_crop = dict(type="mmvisionllama.LoadRandomResizedCrop", scale=224, max_corrupt=10)
_flip = dict(type="mmvisionllama.RandomFlip", prob=0.5)
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="ImageNet",
        data_root="data/imagenet",
        split="train",
        pipeline=[_load_crop, _flip, dict(type="PackInputs")],
    ),
)
