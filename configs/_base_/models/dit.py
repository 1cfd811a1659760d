# DiT in the latents of 256 px images. Leaves add size, patch and, for the baseline, ViT's block.
model = dict(
    type="mmvisionllama.ClassConditionalGenerator",
    network=dict(
        type="mmvisionllama.DiT",
        input_size=32,
        in_channels=4,
        num_classes=1000,
        label_dropout=0.1,
        learn_sigma=True,
    ),
    objective=dict(type="mmvisionllama.GaussianDiffusion", schedule="linear", num_steps=1000),
    sampler=dict(type="mmvisionllama.DDPMSampler", steps=250),
    autoencoder=dict(type="mmvisionllama.KLAutoencoder", path="stabilityai/sd-vae-ft-ema", scale=0.18215),
)
