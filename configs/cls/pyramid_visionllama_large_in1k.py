"""Pyramid VisionLLaMA-L on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/pyramid_visionllama_large_in1k.py --amp

8 GPUs x 128 images. Top-1 83.6 (paper, Tab. 2).
The release has another sampling, final rate and LayerScale, and quirks:
pyramid_visionllama_large_in1k_released.py.
"""

_base_ = [
    "../_base_/models/classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_randaug.py",
    "../_base_/schedules/imagenet_adamw_300e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(
    backbone=dict(
        type="mmvisionllama.PyramidVisionLLaMA",
        arch="large",
        layer_scale=None,
        drop_path_rate=0.5,
    ),
    head=dict(in_channels=1024),
)
train_dataloader = dict(sampler=dict(type="RepeatAugSampler"))
