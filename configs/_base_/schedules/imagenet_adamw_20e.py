# 20 epochs of AdamW at batch 512, at a rate that stays flat after warm-up: DeiT III fine-tunes at 224 px.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-5, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=dict(cls_token=dict(decay_mult=0.0))),
)
auto_scale_lr = dict(base_batch_size=512)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=1e-5, begin=5, end=20, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
