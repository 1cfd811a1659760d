"""VisionLLaMA-L with rotary ratio 25 % on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_pre160_rope_ratio25.py --amp

8 GPUs x 256 images. After the second stage, visionllama_large_in1k_rope_ratio25.py:
Top-1 84.5; unchanged 84.6 (paper, Tab. 7).
Asks how many channels must carry positions; here 16 of a head's 64.
"""

_base_ = "../cls/visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(rope=dict(type="AS2DRoPE", ratio=0.25)))
