# Own images with a class each (mmvisionllama finetune). Leaves add their data sets and the number of classes.
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_workers = dict(num_workers=2, persistent_workers=True)
train_dataloader = dict(**_workers, sampler=dict(type="DefaultSampler", shuffle=True))
val_dataloader = dict(**_workers, sampler=dict(type="DefaultSampler", shuffle=False))
test_dataloader = val_dataloader

# Where classes are of different sizes, the means over classes say more than the share of all images.
val_evaluator = [dict(type="Accuracy", topk=(1,)), dict(type="SingleLabelMetric")]
test_evaluator = val_evaluator
