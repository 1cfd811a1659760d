"""Convergence of masked pre-training, size B: the training loss at a quarter, half, ... of the steps."""

source = "paper v2, figure (no numbers): the curve of VisionLLaMA-B is the lower one throughout"
columns = {f"loss at {share} %": f"loss at {share}" for share in (25, 50, 75, 100)}
evaluate = dict(kind="curve")
rows = dict(
    vit=dict(label="ViT-B, MAE", chain=["pretrain/vit_mae_in1k_800e"], published=[None] * 4),
    visionllama=dict(
        label="VisionLLaMA-B, MAE", chain=["pretrain/visionllama_mae_in1k_800e"], published=[None] * 4
    ),
)
