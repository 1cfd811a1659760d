# 800 epochs of MAE at batch 4096, with the base rate 1.5e-4 of the paper.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2.4e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,
        custom_keys=dict(cls_token=dict(decay_mult=0.0), mask_token=dict(decay_mult=0.0)),
    ),
)
auto_scale_lr = dict(base_batch_size=4096)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-9, begin=0, end=40, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=40, end=800, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=800, val_interval=20)
