# 400,000 iterations of DiT and SiT at batch 256.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0),
)
auto_scale_lr = dict(base_batch_size=256)
param_scheduler = [dict(type="ConstantLR", factor=1.0, begin=0, end=400_000, by_epoch=False)]
train_cfg = dict(by_epoch=False, max_iters=400_000, val_interval=20_000)
