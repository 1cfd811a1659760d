# 1,450 iterations of AdamW for models of about a million parameters: minutes on two CPU cores.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    # Heads start near zero: at the backbone's rate, hundreds of steps only teach them how rare a digit is.
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=dict(head=dict(lr_mult=3.0))),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=100, end=1450),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=1450, val_interval=725)
