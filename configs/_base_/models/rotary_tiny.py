# A plain VisionLLaMA of 0.47 M parameters for ten classes of 32 px images: what studies of components change.
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="mmvisionllama.VisionLLaMA",
        arch=dict(embed_dims=96, num_layers=4, num_heads=3),
        img_size=32,
        patch_size=8,
        out_type="avg_featmap",
        layer_scale=None,
    ),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=96, loss=dict(type="CrossEntropyLoss")),
)
