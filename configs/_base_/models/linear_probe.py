# A linear probe on a frozen encoder: batch normalisation without weights, then one layer.
model = dict(
    type="ImageClassifier",
    backbone=dict(type="mmvisionllama.VisionLLaMA", out_type="avg_featmap", layer_scale=None),
    neck=dict(type="ClsBatchNormNeck", input_features=768),
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        in_channels=768,
        loss=dict(type="CrossEntropyLoss"),
        init_cfg=dict(type="TruncNormal", layer="Linear", std=0.01),
    ),
)
