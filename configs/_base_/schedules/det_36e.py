# 36 epochs of AdamW at batch 16 ("3x").
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0))),
)
auto_scale_lr = dict(base_batch_size=16)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=1000, by_epoch=False),
    dict(type="MultiStepLR", milestones=[27, 33], gamma=0.1, begin=0, end=36, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=36, val_interval=1)
