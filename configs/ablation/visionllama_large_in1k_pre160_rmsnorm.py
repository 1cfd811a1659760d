"""VisionLLaMA-L with RMSNorm on ImageNet-1K at 160 px, 800 epochs: the first of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_pre160_rmsnorm.py --amp

8 GPUs x 256 images. After the second stage, visionllama_large_in1k_rmsnorm.py:
Top-1 84.4 and 0.4874 s an iteration on 8 A100;
unchanged 84.6 and 0.4971 s (paper, Tab. 7).
Asks whether LLaMA's norm, which neither centres nor shifts, saves time without a loss.
"""

_base_ = "../cls/visionllama_large_in1k_pre160.py"
model = dict(backbone=dict(norm_cfg=dict(type="RMSNorm", eps=1e-6)))
