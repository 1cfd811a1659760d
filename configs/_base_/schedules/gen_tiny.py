# 3,000 iterations of AdamW for networks of about a million parameters: minutes on two CPU cores.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.999), weight_decay=0.0, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=100, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=100, end=3000, by_epoch=False),
]
train_cfg = dict(by_epoch=False, max_iters=3000, val_interval=500)
