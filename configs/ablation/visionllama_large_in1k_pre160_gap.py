"""VisionLLaMA-L with mean pooling on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_pre160_gap.py --amp

8 GPUs x 256 images. After the second stage, visionllama_large_in1k_gap.py:
Top-1 84.3; unchanged 84.6 (paper, Tab. 7).
Asks whether a class token is needed, or the mean of the patches serves as well.
"""

_base_ = "../cls/visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(out_type="avg_featmap"))
# Without a class token to spare weight decay.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(_delete_=True)))
