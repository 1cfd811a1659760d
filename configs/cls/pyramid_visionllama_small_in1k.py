"""Pyramid VisionLLaMA-S on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/cls/pyramid_visionllama_small_in1k.py --amp

8 GPUs x 128 images. Top-1 81.6 (paper, Tab. 2).
The release has another sampling, final rate and LayerScale, and quirks:
pyramid_visionllama_small_in1k_released.py.
"""

_base_ = "./pyramid_visionllama_in1k.py"
model = dict(backbone=dict(arch="small", drop_path_rate=0.2), head=dict(in_channels=512))
