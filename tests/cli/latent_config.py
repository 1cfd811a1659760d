# A small SiT over the latents of scikit-learn's digits; model.autoencoder.path is to be given.
_base_ = [
    "../../configs/_base_/datasets/digits_gen.py",
    "../../configs/_base_/schedules/gen_tiny.py",
    "../../configs/_base_/runtime/default.py",
    "../../configs/_base_/runtime/gen_tiny.py",
]
model = dict(
    type="mmvisionllama.ClassConditionalGenerator",
    network=dict(
        type="mmvisionllama.DiT",
        arch=dict(embed_dims=32, num_layers=2, num_heads=2),
        patch_size=2,
        input_size=4,
        in_channels=2,
        num_classes=10,
        learn_sigma=False,
    ),
    objective=dict(type="mmvisionllama.Interpolant"),
    sampler=dict(type="mmvisionllama.ODESampler", method="euler", steps=2),
    autoencoder=dict(type="mmvisionllama.KLAutoencoder", path="not/given"),
)
data_preprocessor = dict(type="mmvisionllama.GenerationDataPreprocessor")
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        indices=90,
        pipeline=[dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")],
    ),
)
val_dataloader = dict(dataset=dict(indices=4))
