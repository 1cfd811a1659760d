custom_imports = dict(imports=["tests.tools.toy"], allow_failed_imports=False)
default_scope = "mmengine"
model = dict(type="ToyRegression", backbone=dict(type="ToyBackbone", width=8))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ToyPoints", count=32),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ToyPoints", count=16),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type="ToyError")
train_cfg = dict(by_epoch=False, max_iters=3, val_interval=3)
val_cfg = test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=0.01))
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=1, log_metric_by_epoch=False),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=3),
)
custom_hooks = [dict(type="mmvisionllama.RunSummaryHook")]
log_processor = dict(by_epoch=False, window_size=1)
env_cfg = dict(dist_cfg=dict(backend="nccl"))
randomness = dict(seed=3)
