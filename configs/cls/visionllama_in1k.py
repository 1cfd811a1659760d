"""VisionLLaMA-B on ImageNet-1K at 224 px, 20 epochs after those of visionllama_in1k_pre192.py.

tools/train.sh configs/cls/visionllama_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_in1k_pre192/epoch_800.pth

8 GPUs x 64 images. Top-1 83.6 (paper, Tab. 2). Positions keep the scale of the first stage.
"""

_base_ = [
    "../_base_/models/classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_randaug.py",
    "../_base_/schedules/imagenet_adamw_20e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(
    backbone=dict(type="mmvisionllama.VisionLLaMA", arch="base", img_size=192, drop_path_rate=0.2),
    head=dict(in_channels=768),
)
train_dataloader = dict(batch_size=64)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile"),
            dict(type="ResizeEdge", scale=224, edge="short", backend="pillow", interpolation="bicubic"),
            dict(type="CenterCrop", crop_size=224),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
