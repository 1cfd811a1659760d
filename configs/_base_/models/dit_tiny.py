# DiT-tiny over the pixels of digits, 1.06 M parameters.
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
        learn_sigma=True,
    ),
    objective=dict(type="mmvisionllama.GaussianDiffusion", schedule="cosine", num_steps=1000),
    sampler=dict(type="mmvisionllama.DDPMSampler", steps=100, clip=True),
)
