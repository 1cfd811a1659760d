"""VisionLLaMA-L with rotary base 100000 on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_pre160_rope_base100000.py --amp

8 GPUs x 256 images. After the second stage, visionllama_large_in1k_rope_base100000.py:
Top-1 84.4; unchanged 84.6 (paper, Tab. 7).
Asks whether more channels that hardly turn over 10 to 14 patches do harm; here 100000 for 10000.
"""

_base_ = "../cls/visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(rope=dict(type="AS2DRoPE", base=100000)))
