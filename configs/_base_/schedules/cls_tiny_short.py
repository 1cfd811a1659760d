# As cls_tiny.py, for 400 iterations.
_base_ = "./cls_tiny.py"
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=40, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=40, end=400, by_epoch=False),
]
train_cfg = dict(max_iters=400, val_interval=25)
