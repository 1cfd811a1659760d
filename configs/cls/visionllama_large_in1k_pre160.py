"""VisionLLaMA-L on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/cls/visionllama_large_in1k_pre160.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_large_in1k.py.
The release has weight decay 0.05, 128 px and crop ratio 0.875: visionllama_large_in1k_pre128_released.py.
"""

_base_ = "./visionllama_small_in1k.py"
model = dict(
    backbone=dict(arch="large", img_size=160, drop_path_rate=0.45),
    head=dict(in_channels=1024),
)
_train_crop = dict(**_base_._load_crop, scale=160)
_train = [_train_crop, _base_._flip, _base_._three_augment, _base_._pack]
train_dataloader = dict(dataset=dict(pipeline=_train))
_resized = dict(**_base_._resize, scale=160)
_cropped = dict(type="CenterCrop", crop_size=160)
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _cropped, _base_._pack]))
test_dataloader = val_dataloader
