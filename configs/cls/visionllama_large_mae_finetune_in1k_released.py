"""VisionLLaMA-L fine-tuned on ImageNet-1K after MAE, as the released code trains it.

tools/train.sh configs/cls/visionllama_large_mae_finetune_in1k_released.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_mae_in1k_800e_released/epoch_800.pth

8 GPUs x 64 images, two batches to a step. Top-1 85.5 after 800 epochs of MAE (paper, Tab. 3).
Unlike the paper: a feed-forward four times as wide and never dropped, positions not scaled, drop-path 0.2.
"""

_base_ = "./visionllama_large_mae_finetune_in1k.py"
model = dict(
    backbone=dict(
        rope=dict(type="RoPE2D"),
        ffn=dict(type="SwiGLU", expand=16, bias=True),
        drop_path_rate=0.2,
        drop_path_branches=("attn",),
    )
)
train_dataloader = dict(batch_size=64)
