# 100 epochs of AdamW at batch 1024 after MAE, with layer-wise decay (VisionLLaMA, Tab. 15).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmvisionllama.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.45, flat_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=1024)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-6, begin=5, end=100, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
