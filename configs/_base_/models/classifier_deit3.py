# A classifier on mixed images in which every class present counts whole: DeiT III before its fine-tuning.
# Of every linear layer, as DeiT III has it; the hosts leave them at other defaults.
_init = dict(type="TruncNormal", layer="Linear", std=0.02, bias=0.0)
model = dict(
    type="ImageClassifier",
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        init_cfg=_init,
        loss=dict(type="mmvisionllama.BinarizedCrossEntropyLoss"),
    ),
    init_cfg=_init,
    train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]),
)
