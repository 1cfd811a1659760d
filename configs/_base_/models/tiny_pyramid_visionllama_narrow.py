# A pyramid VisionLLaMA of 0.89 M parameters, as many as tiny_visionllama.py has.
_base_ = "./tiny_pyramid_visionllama.py"
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=(32, 64, 64, 96), depths=(2, 2, 4, 2), num_heads=(1, 2, 2, 3))
    ),
    head=dict(in_channels=96),
)
