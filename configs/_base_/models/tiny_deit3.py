# The baseline of tiny_visionllama.py: learned positions and GELU, 0.92 M parameters.
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="mmvisionllama.VisionLLaMA",
        arch="tiny",
        img_size=64,
        patch_size=8,
        out_type="avg_featmap",
        layer_scale=None,
        rope=None,
        pos_embed=dict(type="LearnedPosEmbed"),
        ffn=dict(type="GELUFFN"),
    ),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=96, loss=dict(type="CrossEntropyLoss")),
)
