# A pyramid VisionLLaMA for ten classes of 64 px images: windows of 8 divide the grid of its first stage.
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="mmvisionllama.PyramidVisionLLaMA",
        arch="tiny",
        img_size=64,
        window=dict(size=8),
        layer_scale=None,
    ),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=160, loss=dict(type="CrossEntropyLoss")),
)
