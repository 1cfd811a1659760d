"""VisionLLaMA-L on ImageNet-1K at 224 px, 20 epochs after those of visionllama_large_in1k_pre160.py.

tools/train.sh configs/cls/visionllama_large_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160/epoch_800.pth

8 GPUs x 64 images. Top-1 84.6 (paper, Tab. 2). Positions keep the scale of the first stage.
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
    backbone=dict(type="mmvisionllama.VisionLLaMA", arch="large", img_size=160, drop_path_rate=0.45),
    head=dict(in_channels=1024),
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
