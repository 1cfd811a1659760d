"""Table 10: SiT and SiT-LLaMA while they train, FID of 50,000 samples by the ODE at four steps."""

_base_ = "./table8.py"  # the same models
source = "paper v2, Tab. 10"
_steps = {"100k": 100_000, "200k": 200_000, "300k": 300_000, "400k": 400_000}
_ode = dict(kind="samples", sampler=["ode", "method=dopri5", "atol=1e-6", "rtol=1e-3"], guidance=1.0)
columns = dict(_delete_=True, **{f"FID at {name}": f"{name}:fid" for name in _steps})
evaluate = dict(_delete_=True, **{name: dict(_ode, at=step) for name, step in _steps.items()})
rows = dict(
    sit_small=dict(label="SiT-S/2", published=[89.9, 71.9, 64.5, 59.6]),
    visionllama_small=dict(published=[82.88, 67.1, 59.3, 54.6]),
    sit_base=dict(published=[65.76, 48.37, 41.05, 36.90]),
    visionllama_base=dict(published=[56.60, 40.62, 34.09, 30.22]),
    sit_large=dict(published=[45.07, 29.11, 23.40, 20.14]),
    visionllama_large=dict(published=[35.39, 21.82, 17.23, 14.91]),
    sit_xlarge=dict(published=[42.25, 26.49, 20.89, 17.83]),
    visionllama_xlarge=dict(
        published=[40.46, 19.00, 14.84, 12.79],
        note="40.46 is worse than L/2 at the same step and off the trend: doubtful",
    ),
)
