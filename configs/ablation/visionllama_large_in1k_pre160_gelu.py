"""VisionLLaMA-L with a GELU feed-forward on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_pre160_gelu.py --amp

8 GPUs x 256 images. After the second stage, visionllama_large_in1k_gelu.py:
Top-1 84.6; unchanged 84.6 (paper, Tab. 7).
Asks whether the gate of SwiGLU matters at about the same size (8.4 for 8.7 M weights in a block).
"""

_base_ = "../cls/visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(ffn=dict(type="GELUFFN")))
