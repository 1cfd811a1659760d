"""Table 11: plain models of size L, trained at 224 px and evaluated at other sizes, top-1."""

source = "paper v2, Tab. 11"
_sizes = ("160", "224", "256", "288", "512", "768")
columns = {f"{size} px": f"{size} accuracy/top1" for size in _sizes}
rows = dict(
    deit3_large=dict(
        label="DeiT3-L, positions interpolated",
        chain=["cls/deit3_large_in1k_pre160", "cls/deit3_large_in1k"],
        evaluate=dict(kind="sweep", sizes=_sizes, positions="LearnedPosEmbed"),
        published=[83.1, 84.5, 84.7, 84.6, 82.1, 76.5],
    ),
    visionllama_large=dict(
        label="VisionLLaMA-L",
        chain=["cls/visionllama_large_in1k_pre160", "cls/visionllama_large_in1k"],
        evaluate=dict(kind="sweep", sizes=_sizes, positions="AS2DRoPE"),
        published=[83.1, 84.6, 84.7, 84.8, 83.5, 79.1],
    ),
)
