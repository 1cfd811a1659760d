# SiT-tiny over the pixels of digits, 1.06 M parameters: DiT-tiny with another objective and sampler.
_base_ = "./dit_tiny.py"
model = dict(
    network=dict(learn_sigma=False),
    objective=dict(
        _delete_=True,
        type="mmvisionllama.Interpolant",
        path=dict(type="mmvisionllama.LinearPath"),
        prediction="velocity",
    ),
    sampler=dict(_delete_=True, type="mmvisionllama.ODESampler", method="heun2", steps=25),
)
