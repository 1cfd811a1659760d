# 300 epochs of AdamW at batch 1024: Twins (VisionLLaMA, Tab. 13).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=1024)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=5, end=300, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=10)
