"""VisionLLaMA-L with UperNet on ADE20K, from MAE pre-training.

tools/train.sh configs/seg/visionllama_large_upernet_ade20k.py --amp \
    --cfg-options load_from=MAE.pth

8 GPUs x 2 images. No mIoU is published for this size.
The release makes 80k steps, not 160k: visionllama_large_upernet_ade20k_released.py.
"""

_base_ = "./visionllama_upernet_ade20k.py"
model = dict(
    backbone=dict(arch="large", out_indices=(7, 11, 15, 23)),
    neck=dict(embed_dim=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
