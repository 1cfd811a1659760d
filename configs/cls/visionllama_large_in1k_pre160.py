"""VisionLLaMA-L on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/visionllama_large_in1k_pre160.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_large_in1k.py.
The release has weight decay 0.05, 128 px and crop ratio 0.875: visionllama_large_in1k_pre128_released.py.
"""

_base_ = [
    "../_base_/models/classifier_deit3.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_three_augment.py",
    "../_base_/schedules/imagenet_lamb_800e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(
    backbone=dict(type="mmvisionllama.VisionLLaMA", arch="large", img_size=160, drop_path_rate=0.45),
    head=dict(in_channels=1024),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="RandomResizedCrop", scale=160, backend="pillow", interpolation="bicubic"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="mmvisionllama.ThreeAugment", color_jitter=0.3),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile"),
            dict(type="ResizeEdge", scale=160, edge="short", backend="pillow", interpolation="bicubic"),
            dict(type="CenterCrop", crop_size=160),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
