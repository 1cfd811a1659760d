# Own images without labels, for masked pre-training (mmvisionllama finetune). Leaves add their data sets.
_options = dict(num_workers=2, persistent_workers=True, collate_fn=dict(type="default_collate"))
train_dataloader = dict(**_options, sampler=dict(type="DefaultSampler", shuffle=True))
val_dataloader = dict(**_options, sampler=dict(type="DefaultSampler", shuffle=False))
test_dataloader = val_dataloader

val_evaluator = dict(type="mmvisionllama.ReconstructionLoss")
test_evaluator = val_evaluator
