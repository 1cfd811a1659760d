"""VisionLLaMA-B on ImageNet-1K at 192 px, the first stage as the released code trains it.

tools/train.sh configs/cls/visionllama_in1k_pre192_released.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_in1k_released.py.
Unlike the paper: weight decay 0.05, crop ratio 0.875, positions not scaled.
"""

_base_ = "./visionllama_in1k_pre192.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D")))
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
_resized = dict(**_base_._resize, scale=219)  # crop ratio 0.875
_cropped = dict(type="CenterCrop", crop_size=192)
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _cropped, _base_._pack]))
test_dataloader = val_dataloader
