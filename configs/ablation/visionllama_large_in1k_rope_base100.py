"""VisionLLaMA-L with rotary base 100 on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_rope_base100.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160_rope_base100/epoch_800.pth

8 GPUs x 64 images. Top-1 84.6; unchanged 84.6 (paper, Tab. 7).
Asks whether a base made for thousands of words suits sides of 10 to 14 patches; here 100 for 10000.
"""

_base_ = "../cls/visionllama_large_in1k.py"
model = dict(backbone=dict(rope=dict(type="AS2DRoPE", base=100)))
