"""MAE of VisionLLaMA-B on ImageNet-1K, 800 epochs, as the released code trains it.

tools/train.sh configs/pretrain/visionllama_mae_in1k_800e_released.py --amp

8 GPUs x 512 images. Fine-tuning: configs/cls/visionllama_mae_finetune_in1k_released.py.
Unlike the paper: a feed-forward four times as wide, positions not scaled.
"""

_base_ = "./visionllama_mae_in1k_800e.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D"), ffn=dict(type="SwiGLU", expand=16, bias=True)))
