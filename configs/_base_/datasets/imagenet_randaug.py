# ImageNet-1K with RandAugment and random erasing, as DeiT, Swin, Twins and the fine-tuning of MAE have it.
_bgr_mean = [103.53, 116.28, 123.675]
_bgr_std = [57.375, 57.12, 58.395]
_load_crop = dict(type="mmvisionllama.LoadRandomResizedCrop", scale=224, max_corrupt=10)
_flip = dict(type="mmvisionllama.RandomFlip", prob=0.5)
_randaug = dict(
    type="mmvisionllama.RandAugment",
    policies="timm_increasing",
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
    hparams=dict(pad_val=[104, 116, 124], interpolation="bicubic"),
)
_erase = dict(
    type="mmvisionllama.RandomErasing",
    erase_prob=0.25,
    mode="rand",
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=_bgr_mean,
    fill_std=_bgr_std,
)
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
        pipeline=[_load_crop, _flip, _randaug, _erase, dict(type="PackInputs")],
    ),
)
