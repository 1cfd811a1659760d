"""VisionLLaMA-L on ImageNet-1K at 224 px, the second stage as the released code trains it.

tools/train.sh configs/cls/visionllama_large_in1k_released.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre128_released/epoch_800.pth

8 GPUs x 64 images. Top-1 84.6 (paper, Tab. 2).
Unlike the paper: crop ratio 0.875, positions not scaled.
"""

_base_ = "./visionllama_large_in1k.py"
model = dict(backbone=dict(img_size=128, rope=dict(type="RoPE2D")))
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
