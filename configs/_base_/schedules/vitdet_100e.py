# As vitdet_36e.py, for 100 epochs: ViT-B's.
_base_ = "./vitdet_36e.py"
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=1000, by_epoch=False),
    dict(type="MultiStepLR", milestones=[89, 96], gamma=0.1, begin=0, end=100, by_epoch=True),
]
train_cfg = dict(max_epochs=100, val_interval=5)
