# 800 epochs of LAMB at batch 2048: DeiT III (VisionLLaMA, Tab. 13).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Lamb", lr=3e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.02, max_grad_norm=1.0),
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=dict(cls_token=dict(decay_mult=0.0))),
)
auto_scale_lr = dict(base_batch_size=2048)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6 / 3e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=800, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=800, val_interval=10)
