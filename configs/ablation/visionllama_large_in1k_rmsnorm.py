"""VisionLLaMA-L with RMSNorm on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_rmsnorm.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160_rmsnorm/epoch_800.pth

8 GPUs x 64 images. Top-1 84.4 and 0.4874 s an iteration on 8 A100;
unchanged 84.6 and 0.4971 s (paper, Tab. 7).
Asks whether LLaMA's norm, which neither centres nor shifts, saves time without a loss.
"""

_base_ = "../cls/visionllama_large_in1k.py"
model = dict(backbone=dict(norm_cfg=dict(type="RMSNorm", eps=1e-6)))
