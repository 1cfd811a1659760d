# 36 epochs of AdamW at batch 64 with layer-wise decay (ViTDet).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor="mmvisionllama.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.7, flat_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=64)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=1000, by_epoch=False),
    dict(type="MultiStepLR", milestones=[27, 33], gamma=0.1, begin=0, end=36, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=36, val_interval=1)
