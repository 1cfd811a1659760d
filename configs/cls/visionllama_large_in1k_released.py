"""VisionLLaMA-L on ImageNet-1K at 224 px, the second stage as the released code trains it.

tools/train.sh configs/cls/visionllama_large_in1k_released.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre128_released/epoch_800.pth

8 GPUs x 64 images. Top-1 84.6 (paper, Tab. 2). With random erasing, as its command leaves it on.
Unlike the paper: crop ratio 0.875, positions not scaled at any size.
"""

_base_ = "./visionllama_large_in1k.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D")))
_resized = dict(**_base_._resize, scale=256)  # crop ratio 0.875
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _base_._crop, _base_._pack]))
test_dataloader = val_dataloader
