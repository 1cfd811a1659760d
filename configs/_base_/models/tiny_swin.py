# A Swin of 0.95 M parameters for ten classes of 64 px images: windows of 4 divide all grids but the last.
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="SwinTransformer",
        arch=dict(embed_dims=24, depths=[2, 2, 3, 1], num_heads=[1, 2, 4, 8]),
        img_size=64,
        window_size=4,
        pad_small_map=True,
        drop_path_rate=0.0,
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=192, loss=dict(type="CrossEntropyLoss")),
)
