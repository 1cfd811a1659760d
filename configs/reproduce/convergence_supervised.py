"""Convergence of supervised training, size L: the training loss at a quarter, half, ... of the steps."""

source = "paper v2, figure (no numbers): the curve of VisionLLaMA-L is the lower one throughout"
columns = {f"loss at {share} %": f"loss at {share}" for share in (25, 50, 75, 100)}
evaluate = dict(kind="curve")
rows = dict(
    deit3_large=dict(label="DeiT3-L", chain=["cls/deit3_large_in1k_pre160"], published=[None] * 4),
    visionllama_large=dict(
        label="VisionLLaMA-L",
        chain=["cls/visionllama_large_in1k_pre160"],
        published=[None] * 4,
    ),
)
