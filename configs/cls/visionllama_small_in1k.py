"""VisionLLaMA-S on ImageNet-1K at 224 px, 800 epochs.

tools/train.sh configs/cls/visionllama_small_in1k.py --amp

8 GPUs x 256 images. Top-1 81.6 (paper, Tab. 2).
The release has lr 4e-3, weight decay 0.05 and crop ratio 0.875: visionllama_small_in1k_released.py.
"""

_base_ = [
    "../_base_/models/classifier_deit3.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_three_augment.py",
    "../_base_/schedules/imagenet_lamb_800e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(
    backbone=dict(type="mmvisionllama.VisionLLaMA", arch="small", img_size=224, drop_path_rate=0.05),
    head=dict(in_channels=384),
)
_resized = dict(**_base_._resize, scale=224)  # crop ratio 1.0
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _base_._crop, _base_._pack]))
test_dataloader = val_dataloader
