# 90 epochs of LARS at batch 16384 for a linear probe.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="LARS", lr=6.4, momentum=0.9, weight_decay=0.0),
)
auto_scale_lr = dict(base_batch_size=16384)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=10, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=10, end=90, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=1)
