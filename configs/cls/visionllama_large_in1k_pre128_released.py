"""VisionLLaMA-L on ImageNet-1K at 128 px, the first stage as the released code trains it.

tools/train.sh configs/cls/visionllama_large_in1k_pre128_released.py --amp

8 GPUs x 256 images. The second stage, and the result: visionllama_large_in1k_released.py.
Unlike the paper: weight decay 0.05, 128 px, crop ratio 0.875, positions not scaled.
"""

_base_ = "./visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(img_size=128, rope=dict(type="RoPE2D")))
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
_train_crop = dict(**_base_._load_crop, scale=128)
_train = [_train_crop, _base_._flip, _base_._three_augment, _base_._pack]
train_dataloader = dict(dataset=dict(pipeline=_train))
_resized = dict(**_base_._resize, scale=146)  # crop ratio 0.875
_cropped = dict(type="CenterCrop", crop_size=128)
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _cropped, _base_._pack]))
test_dataloader = val_dataloader
