"""Pyramid VisionLLaMA-S with one-dimensional rotary positions on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/ablation/pyramid_visionllama_small_in1k_rope1d.py --amp

8 GPUs x 128 images. Top-1 81.5, and 0.01 at 448 and 512 px;
unchanged 81.6, 80.3 and 79.5 (paper, Tab. 12).
Asks whether the raster index of a language model does for images, and for sizes not trained on.
"""

_base_ = "../cls/pyramid_visionllama_small_in1k.py"
model = dict(backbone=dict(rope=dict(type="RoPE1D")))
