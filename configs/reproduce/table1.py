"""Table 1: DiT and DiT-LLaMA on ImageNet-1K at 256 px, 50,000 samples by 250 steps of DDPM."""

source = "paper v2, Tab. 1"
columns = dict(FID="fid", sFID="sfid", precision="precision", recall="recall", IS="inception_score")
evaluate = dict(kind="samples", sampler=["ddpm"], steps=250, guidance=1.0)
# The guided numbers were drawn with the release's rule: the first three of the four latent channels.
_guided = dict(evaluate, guidance=1.5, cfg_options=["model.guidance.channels=first_three"])
_train = "gen/dit_{}_in1k_256"


def _row(label, config, published, guided=False, **more):
    row = dict(label=label, chain=[_train.format(config)], published=published, **more)
    return dict(row, label=f"{label}, guidance 1.5", evaluate=_guided) if guided else row


_copied = "the paper's row repeats that of DiT-L/4 nearly to the last digit: doubtful"
rows = dict(
    dit_base_p4=_row("DiT-B/4", "base_p4", [68.38, 12.66, 36.07, 54.71, 20.27]),
    visionllama_base_p4=_row("DiT-LLaMA-B/4", "visionllama_base_p4", [63.17, 12.63, 38.27, 56.75, 22.47]),
    dit_base_p4_guided=_row("DiT-B/4", "base_p4", [45.38, 9.97, 46.89, 53.66, 34.27], True),
    visionllama_base_p4_guided=_row(
        "DiT-LLaMA-B/4", "visionllama_base_p4", [39.51, 9.82, 50.46, 54.75, 40.17], True
    ),
    dit_large_p4=_row("DiT-L/4", "large_p4", [44.37, 8.97, 48.16, 61.53, 32.25]),
    visionllama_large_p4=_row("DiT-LLaMA-L/4", "visionllama_large_p4", [40.32, 9.04, 49.87, 61.61, 36.56]),
    dit_large_p4_guided=_row("DiT-L/4", "large_p4", [22.51, 7.08, 62.67, 55.27, 66.58], True),
    visionllama_large_p4_guided=_row(
        "DiT-LLaMA-L/4", "visionllama_large_p4", [18.64, 7.01, 65.40, 54.35, 78.52], True
    ),
    dit_xlarge_p4=_row("DiT-XL/4", "xlarge_p4", [43.01, None, None, None, None]),
    visionllama_xlarge_p4=_row("DiT-LLaMA-XL/4", "visionllama_xlarge_p4", [35.99, 8.48, 52.31, 61.65, 41.18]),
    dit_xlarge_p4_guided=_row(
        "DiT-XL/4", "xlarge_p4", [22.52, 7.09, 62.68, 55.27, 66.58], True, note=_copied
    ),
    visionllama_xlarge_p4_guided=_row(
        "DiT-LLaMA-XL/4", "visionllama_xlarge_p4", [18.69, 7.02, 65.67, 55.57, 78.32], True
    ),
    dit_xlarge_p2=_row("DiT-XL/2", "xlarge_p2", [10.67, None, None, None, None]),
    visionllama_xlarge_p2=_row(
        "DiT-LLaMA-XL/2",
        "visionllama_xlarge_p2",
        [9.84, 6.47, 67.45, 66.71, 117.72],
        note="2,352,000 iterations; the authors' README says 2,400,000",
    ),
    visionllama_xlarge_p2_guided=_row(
        "DiT-LLaMA-XL/2", "visionllama_xlarge_p2", [2.42, 4.51, 83.03, 56.82, 265.39], True
    ),
)
