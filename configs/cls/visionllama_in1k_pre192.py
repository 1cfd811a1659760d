"""VisionLLaMA-B on ImageNet-1K at 192 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/visionllama_in1k_pre192.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_in1k.py.
The release has weight decay 0.05 and crop ratio 0.875: visionllama_in1k_pre192_released.py.
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
    backbone=dict(type="mmvisionllama.VisionLLaMA", arch="base", img_size=192, drop_path_rate=0.2),
    head=dict(in_channels=768),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="RandomResizedCrop", scale=192, backend="pillow", interpolation="bicubic"),
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
            dict(type="ResizeEdge", scale=192, edge="short", backend="pillow", interpolation="bicubic"),
            dict(type="CenterCrop", crop_size=192),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
