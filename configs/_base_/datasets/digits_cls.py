# scikit-learn's digits, 8 px, grey: 1,438 to train, the other 359 to evaluate.
data_preprocessor = dict(num_classes=10, mean=[77.0], std=[96.0], to_rgb=False)
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="mmvisionllama.SklearnDigits",
        split="train",
        pipeline=[
            dict(type="RandomCrop", crop_size=8, padding=1),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="mmvisionllama.SklearnDigits", split="val", pipeline=[dict(type="PackInputs")]),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="Accuracy", topk=(1,))
test_evaluator = val_evaluator
