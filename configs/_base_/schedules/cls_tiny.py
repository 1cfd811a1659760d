# 1,500 iterations of AdamW for models of about a million parameters: minutes on two CPU cores.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(flat_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=150, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=150, end=1500, by_epoch=False),
]
train_cfg = dict(by_epoch=False, max_iters=1500, val_interval=100)
