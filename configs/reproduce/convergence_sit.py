"""Convergence of SiT: SiT-LLaMA after 300,000 iterations beside SiT after 400,000, FID by the ODE."""

source = "paper v2, figure; the numbers are those of Tab. 10: SiT-LLaMA is ahead with a quarter fewer steps"
_ode = dict(kind="samples", sampler=["ode", "method=dopri5", "atol=1e-6", "rtol=1e-3"], guidance=1.0)
columns = dict(FID="fid")
rows = {
    f"{name}_{config}": dict(
        label=f"{label}/2, {step:,} iterations",
        chain=[f"gen/sit_{prefix}{config}_p2_in1k_256"],
        evaluate=dict(_ode, at=step),
        published=[fid],
    )
    for config, size, ours, theirs in (
        ("small", "S", 59.3, 59.6),
        ("base", "B", 34.09, 36.90),
        ("large", "L", 17.23, 20.14),
        ("xlarge", "XL", 14.84, 17.83),
    )
    for name, label, prefix, step, fid in (
        ("sit", f"SiT-{size}", "", 400_000, theirs),
        ("visionllama", f"SiT-LLaMA-{size}", "visionllama_", 300_000, ours),
    )
}
