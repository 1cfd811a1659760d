"""VisionLLaMA-L with rotary tables per head on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_rope_unshared.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160_rope_unshared/epoch_800.pth

8 GPUs x 64 images. Top-1 84.2; unchanged 84.6 (paper, Tab. 7).
Asks whether heads gain if each has its own slice of the frequencies, from fast to slow.
"""

_base_ = "../cls/visionllama_large_in1k.py"
model = dict(backbone=dict(rope=dict(type="AS2DRoPE", shared=False)))
