# A classifier on mixed images in which every class present counts whole: DeiT III before its fine-tuning.
model = dict(
    type="ImageClassifier",
    head=dict(
        type="LinearClsHead", num_classes=1000, loss=dict(type="mmvisionllama.BinarizedCrossEntropyLoss")
    ),
    train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]),
)
