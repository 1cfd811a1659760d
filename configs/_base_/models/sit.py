# SiT in the latents of 256 px images: DiT's network with another objective and sampler.
# The published networks have the second half of the outputs too; nothing reads it.
_base_ = "./dit.py"
model = dict(
    objective=dict(
        _delete_=True,
        type="mmvisionllama.Interpolant",
        path=dict(type="mmvisionllama.LinearPath"),
        prediction="velocity",
    ),
    sampler=dict(type="mmvisionllama.SDESampler", method="euler", steps=250),
)
