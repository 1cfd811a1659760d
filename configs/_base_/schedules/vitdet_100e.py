# 100 epochs of AdamW at batch 64 with layer-wise decay (ViTDet). Two iterations make a step, so that the
# warm-up of 1,000 steps is one of 2,000 iterations.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor="mmvisionllama.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.7, flat_decay_mult=0.0),
    accumulative_counts=2,
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=2000, by_epoch=False),
    dict(type="MultiStepLR", milestones=[89, 96], gamma=0.1, begin=0, end=100, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=5)
val_cfg = dict()
test_cfg = dict()
