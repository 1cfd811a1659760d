# scikit-learn's digits, 8 px: 1,438 to train, the other 359 to validate.
data_preprocessor = dict(type="ClsDataPreprocessor", num_classes=10, mean=[127.5], std=[127.5])
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="mmvisionllama.SklearnDigits", split="train", pipeline=[dict(type="PackInputs")]),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="mmvisionllama.SklearnDigits", split="val", pipeline=[dict(type="PackInputs")]),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="mmvisionllama.DenoisingLoss")  # under noise that is always the same
test_evaluator = val_evaluator
