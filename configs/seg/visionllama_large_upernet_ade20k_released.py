"""VisionLLaMA-L with UperNet on ADE20K, as the released code trains it.

tools/train.sh configs/seg/visionllama_large_upernet_ade20k_released.py --amp \
    --cfg-options load_from=MAE.pth

8 GPUs x 1 image, two iterations to a step. No mIoU is published for this size.
Unlike the paper: 160k counts iterations, not steps; lr 1e-4, unscaled positions, 914 M in the encoder.
"""

_base_ = "./visionllama_upernet_ade20k_released.py"
model = dict(
    backbone=dict(arch="large", out_indices=(7, 11, 15, 23)),
    neck=dict(embed_dim=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(accumulative_counts=2)
auto_scale_lr = None  # iterations, not steps, are counted
