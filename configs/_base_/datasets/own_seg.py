# Own images with a label map each (mmvisionllama finetune). Leaves add their data sets.
_workers = dict(num_workers=2, persistent_workers=True)
train_dataloader = dict(**_workers, sampler=dict(type="InfiniteSampler", shuffle=True))
val_dataloader = dict(**_workers, sampler=dict(type="DefaultSampler", shuffle=False))
test_dataloader = val_dataloader

val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
