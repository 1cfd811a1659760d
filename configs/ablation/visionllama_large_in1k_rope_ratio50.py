"""VisionLLaMA-L with rotary ratio 50 % on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_rope_ratio50.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160_rope_ratio50/epoch_800.pth

8 GPUs x 64 images. Top-1 84.5; unchanged 84.6 (paper, Tab. 7).
Asks how many channels must carry positions; here 32 of a head's 64.
"""

_base_ = "../cls/visionllama_large_in1k.py"
model = dict(backbone=dict(rope=dict(type="AS2DRoPE", ratio=0.5)))
