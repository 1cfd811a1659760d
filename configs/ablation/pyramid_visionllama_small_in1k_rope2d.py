"""Pyramid VisionLLaMA-S with rotary positions that are not scaled on ImageNet-1K at 224 px, 300 epochs.

tools/train.sh configs/ablation/pyramid_visionllama_small_in1k_rope2d.py --amp

8 GPUs x 128 images. Top-1 81.6, and 79.5 and 78.4 at 448 and 512 px;
unchanged 81.6, 80.3 and 79.5 (paper, Tab. 12).
Asks what auto-scaling adds. At 224 px its factor is 1, so the training is the unchanged one:
only other sizes differ (tools/resolution_sweep.py).
"""

_base_ = "../cls/pyramid_visionllama_small_in1k.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D")))
