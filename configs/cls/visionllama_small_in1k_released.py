"""VisionLLaMA-S on ImageNet-1K, as the released code trains it.

tools/train.sh configs/cls/visionllama_small_in1k_released.py --amp

8 GPUs x 256 images. Top-1 81.6 (paper, Tab. 2).
Unlike the paper: lr 4e-3, weight decay 0.05, crop ratio 0.875, positions not scaled.
"""

_base_ = "./visionllama_small_in1k.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D")))
optim_wrapper = dict(optimizer=dict(lr=4e-3, weight_decay=0.05))
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile"),
            dict(type="ResizeEdge", scale=256, edge="short", backend="pillow", interpolation="bicubic"),
            dict(type="CenterCrop", crop_size=224),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
