"""VisionLLaMA-B on ImageNet-1K at 192 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/visionllama_in1k_pre192.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_in1k.py.
The release has weight decay 0.05 and crop ratio 0.875: visionllama_in1k_pre192_released.py.
"""

_base_ = "./visionllama_small_in1k.py"
model = dict(
    backbone=dict(arch="base", img_size=192, drop_path_rate=0.2),
    head=dict(in_channels=768),
)
_train_crop = dict(**_base_._load_crop, scale=192)
_train = [_train_crop, _base_._flip, _base_._three_augment, _base_._pack]
train_dataloader = dict(dataset=dict(pipeline=_train))
_resized = dict(**_base_._resize, scale=192)
_cropped = dict(type="CenterCrop", crop_size=192)
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _cropped, _base_._pack]))
test_dataloader = val_dataloader
