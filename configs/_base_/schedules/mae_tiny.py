# 30 epochs of AdamW for encoders of about a million parameters: minutes on two CPU cores.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,
        custom_keys=dict(cls_token=dict(decay_mult=0.0), mask_token=dict(decay_mult=0.0)),
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=3, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=3, end=30, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=10)
