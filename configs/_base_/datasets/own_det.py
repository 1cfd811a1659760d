# Own images with objects (mmvisionllama finetune). Leaves add data sets, and annotations to metrics.
_workers = dict(num_workers=2, persistent_workers=True)
train_dataloader = dict(**_workers, sampler=dict(type="DefaultSampler", shuffle=True))
val_dataloader = dict(**_workers, sampler=dict(type="DefaultSampler", shuffle=False))
test_dataloader = val_dataloader

val_evaluator = dict(type="FasterCocoMetric", metric="bbox")
test_evaluator = val_evaluator
