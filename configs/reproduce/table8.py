"""Table 8: SiT and SiT-LLaMA, ImageNet-1K at 256 px, 400,000 iterations, 50,000 samples by the SDE."""

source = "paper v2, Tab. 8"
columns = dict(FID="fid", sFID="sfid", precision="precision", recall="recall", IS="inception_score")
evaluate = dict(kind="samples", sampler=["sde", "method=euler"], steps=250, guidance=1.0)


def _row(label, config, published):
    return dict(label=label, chain=[f"gen/sit_{config}_p2_in1k_256"], published=published)


rows = dict(
    sit_small=_row("SiT-S/2, re-run", "small", [58.15, 9.12, 41.01, 60.23, 24.72]),
    visionllama_small=_row("SiT-LLaMA-S/2", "visionllama_small", [53.90, 8.78, 42.98, 60.36, 26.74]),
    sit_base=_row("SiT-B/2", "base", [35.54, 6.57, 52.68, 64.38, 42.33]),
    visionllama_base=_row("SiT-LLaMA-B/2", "visionllama_base", [29.53, 6.32, 56.07, 64.07, 50.13]),
    sit_large=_row("SiT-L/2", "large", [19.34, 5.28, 63.00, 63.60, 70.47]),
    visionllama_large=_row("SiT-LLaMA-L/2", "visionllama_large", [14.32, 5.17, 66.39, 63.64, 86.85]),
    sit_xlarge=_row("SiT-XL/2", "xlarge", [16.98, 5.07, 65.12, 64.10, 77.06]),
    visionllama_xlarge=_row("SiT-LLaMA-XL/2", "visionllama_xlarge", [12.20, 5.03, 67.86, 63.08, 95.28]),
)
