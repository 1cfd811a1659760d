"""VisionLLaMA-L with rotary base 100 on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_pre160_rope_base100.py --amp

8 GPUs x 256 images. After the second stage, visionllama_large_in1k_rope_base100.py:
Top-1 84.6; unchanged 84.6 (paper, Tab. 7).
Asks whether a base made for thousands of words suits sides of 10 to 14 patches; here 100 for 10000.
"""

_base_ = "../cls/visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(rope=dict(type="AS2DRoPE", base=100)))
