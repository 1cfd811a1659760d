# A Twins-SVT of 0.95 M parameters for ten classes of 64 px images, windows as tiny_pyramid_visionllama.py's.
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="SVT",
        arch=dict(
            embed_dims=[32, 64, 64, 128],
            depths=[2, 2, 4, 2],
            num_heads=[1, 2, 2, 4],
            patch_sizes=[4, 2, 2, 2],
            strides=[4, 2, 2, 2],
            mlp_ratios=[4, 4, 4, 4],
            sr_ratios=[8, 4, 2, 1],
            window_sizes=[8, 8, 8, 8],
        ),
        norm_after_stage=[False, False, False, True],
        drop_path_rate=0.0,
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=128, loss=dict(type="CrossEntropyLoss")),
)
