"""VisionLLaMA-L with a GELU feed-forward on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_gelu.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160_gelu/epoch_800.pth

8 GPUs x 64 images. Top-1 84.6; unchanged 84.6 (paper, Tab. 7).
Asks whether the gate of SwiGLU matters at about the same size (8.4 for 8.7 M weights in a block).
"""

_base_ = "../cls/visionllama_large_in1k.py"
model = dict(backbone=dict(ffn=dict(type="GELUFFN")))
