"""MAE of VisionLLaMA-L on ImageNet-1K, 800 epochs, as the released code trains it.

tools/train.sh configs/pretrain/visionllama_large_mae_in1k_800e_released.py --amp

8 GPUs x 256 images. Fine-tuning: configs/cls/visionllama_large_mae_finetune_in1k_released.py.
Unlike the paper: a feed-forward four times as wide, positions not scaled, half the batch at the same rate.
"""

_base_ = "./visionllama_large_mae_in1k_800e.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D"), ffn=dict(type="SwiGLU", expand=16, bias=True)))
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=2048)
