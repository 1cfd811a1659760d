# A plain VisionLLaMA of 0.91 M parameters for ten classes of 64 px images.
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="mmvisionllama.VisionLLaMA",
        arch="tiny",
        img_size=64,
        patch_size=8,
        out_type="avg_featmap",
        layer_scale=None,
    ),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=96, loss=dict(type="CrossEntropyLoss")),
)
