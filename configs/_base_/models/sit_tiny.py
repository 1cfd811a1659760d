# SiT-tiny over the pixels of digits, 1.06 M parameters.
model = dict(
    type="mmvisionllama.ClassConditionalGenerator",
    network=dict(
        type="mmvisionllama.DiT",
        arch="tiny",
        patch_size=2,
        input_size=8,
        in_channels=1,
        num_classes=10,
        label_dropout=0.1,
        learn_sigma=False,
    ),
    objective=dict(
        type="mmvisionllama.Interpolant", path=dict(type="mmvisionllama.LinearPath"), prediction="velocity"
    ),
    sampler=dict(type="mmvisionllama.ODESampler", method="heun2", steps=25),
)
