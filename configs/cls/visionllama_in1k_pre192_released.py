"""VisionLLaMA-B on ImageNet-1K at 192 px, the first stage as the released code trains it.

tools/train.sh configs/cls/visionllama_in1k_pre192_released.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_in1k_released.py.
Unlike the paper: weight decay 0.05, crop ratio 0.875, positions not scaled.
"""

_base_ = "./visionllama_in1k_pre192.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D")))
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="mmvisionllama.LoadImageFromFile"),
            dict(type="ResizeEdge", scale=219, edge="short", backend="pillow", interpolation="bicubic"),
            dict(type="CenterCrop", crop_size=192),
            dict(type="PackInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
