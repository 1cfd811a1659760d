"""Table 12: rotary positions of Pyramid VisionLLaMA-S, trained at 224 px, evaluated at other sizes, top-1."""

source = "paper v2, Tab. 12"
_sizes = ("224", "448", "512")
columns = {f"{size} px": f"{size} accuracy/top1" for size in _sizes}


def _row(label, config, positions, published):
    sweep = dict(kind="sweep", sizes=_sizes, positions=positions)
    return dict(label=label, chain=[config], evaluate=sweep, published=published)


_rope2d = "ablation/pyramid_visionllama_small_in1k_rope2d"
rows = dict(
    rope1d=_row("1D RoPE", "ablation/pyramid_visionllama_small_in1k_rope1d", "RoPE1D", [81.5, 0.01, 0.01]),
    rope2d=_row("2D RoPE", _rope2d, "RoPE2D", [81.6, 79.5, 78.4]),
    ntk2=_row("NTK, base x 2", _rope2d, "NTKRoPE2D:2", [81.6, 79.6, 78.5]),
    ntk5=_row("NTK, base x 5", _rope2d, "NTKRoPE2D:5", [81.3, 79.6, 78.6]),
    ntk10=_row("NTK, base x 10", _rope2d, "NTKRoPE2D:10", [81.1, 79.6, 78.6]),
    as2drope=_row("AS2DRoPE", "cls/pyramid_visionllama_small_in1k", "AS2DRoPE", [81.6, 80.3, 79.5]),
)
