# A classifier on mixed images with smoothed labels. Leaves add the backbone and its width.
# Of every linear layer, as DeiT III, Twins and Swin have it; the hosts leave them at other defaults.
_init = dict(type="TruncNormal", layer="Linear", std=0.02, bias=0.0)
model = dict(
    type="ImageClassifier",
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        init_cfg=_init,
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
    ),
    init_cfg=_init,
    train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]),
)
