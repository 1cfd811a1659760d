"""VisionLLaMA-L on ImageNet-1K at 128 px, the first stage as the released code trains it.

tools/train.sh configs/cls/visionllama_large_in1k_pre128_released.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_large_in1k_released.py.
Unlike the paper: weight decay 0.05, 128 px, crop ratio 0.875, positions not scaled.
"""

_base_ = "./visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(img_size=128, rope=dict(type="RoPE2D")))
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=10),
            dict(type="RandomResizedCrop", scale=128, backend="pillow", interpolation="bicubic"),
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
            dict(type="ResizeEdge", scale=146, edge="short", backend="pillow", interpolation="bicubic"),
            dict(type="CenterCrop", crop_size=128),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
