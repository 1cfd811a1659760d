"""VisionLLaMA-L with UperNet on ADE20K, as the released code trains it.

tools/train.sh configs/seg/visionllama_large_upernet_ade20k_released.py --amp \
    --cfg-options load_from=MAE.pth

8 GPUs x 1 image, two batches to a step. No mIoU is published for this size.
Unlike the paper: 80k steps, as the 160k iterations of the release are two to a step; lr 1e-4, unscaled
positions, 914 M in the encoder.
"""

_base_ = "./visionllama_upernet_ade20k_released.py"
model = dict(
    backbone=dict(arch="large", out_indices=(7, 11, 15, 23)),
    neck=dict(embed_dim=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
train_dataloader = dict(batch_size=1)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=750),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=750, end=80000),
]
train_cfg = dict(max_iters=80000, val_interval=8000)
