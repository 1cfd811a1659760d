"""VisionLLaMA-L with rotary base 100000 on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_rope_base100000.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160_rope_base100000/epoch_800.pth

8 GPUs x 64 images. Top-1 84.4; unchanged 84.6 (paper, Tab. 7).
Asks whether more channels that hardly turn over 10 to 14 patches do harm; here 100000 for 10000.
"""

_base_ = "../cls/visionllama_large_in1k.py"
model = dict(backbone=dict(rope=dict(type="AS2DRoPE", base=100000)))
