"""VisionLLaMA-B on ImageNet-1K at 224 px, 20 epochs after those of visionllama_in1k_pre192.py.

tools/train.sh configs/cls/visionllama_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_in1k_pre192/epoch_800.pth

8 GPUs x 64 images. Top-1 83.6 (paper, Tab. 2). No random erasing, as in DeiT III and the release.
Positions are scaled to this stage's grid (paper, Eq. 4), so their factor is 1 at 224 px. To keep the first
stage's factor, 12 / 14: model.backbone.rope="dict(type=AS2DRoPE,anchor=12)".
"""

_base_ = [
    "../_base_/models/classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_randaug.py",
    "../_base_/schedules/imagenet_adamw_20e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(
    backbone=dict(type="mmvisionllama.VisionLLaMA", arch="base", img_size=224, drop_path_rate=0.2),
    head=dict(in_channels=768),
)
_train = [_base_._load_crop, _base_._flip, _base_._randaug, _base_._pack]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_train))
_resized = dict(**_base_._resize, scale=224)  # crop ratio 1.0
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _base_._crop, _base_._pack]))
test_dataloader = val_dataloader
