"""Table 9: SiT and SiT-LLaMA, ImageNet-1K at 256 px, 400,000 iterations, 50,000 samples by the ODE."""

_base_ = "./table8.py"  # the same models
source = "paper v2, Tab. 9"
evaluate = dict(
    _delete_=True,
    kind="samples",
    sampler=["ode", "method=dopri5", "atol=1e-6", "rtol=1e-3"],
    guidance=1.0,
)
rows = dict(
    sit_small=dict(published=[59.60, 9.16, 39.41, 58.48, 23.32]),
    visionllama_small=dict(published=[54.62, 8.81, 41.69, 61.16, 26.07]),
    sit_base=dict(published=[36.90, 6.70, 51.00, 64.10, 39.78]),
    visionllama_base=dict(published=[30.23, 6.36, 54.99, 64.90, 48.34]),
    sit_large=dict(published=[20.14, 5.34, 61.53, 64.53, 67.08]),
    visionllama_large=dict(published=[14.91, 5.16, 64.97, 64.30, 82.23]),
    sit_xlarge=dict(published=[17.83, 5.13, 63.52, 64.61, 73.64]),
    visionllama_xlarge=dict(published=[12.79, 5.02, 66.77, 64.37, 90.93]),
)
