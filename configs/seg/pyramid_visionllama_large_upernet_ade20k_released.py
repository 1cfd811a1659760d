"""Pyramid VisionLLaMA-L with UperNet on ADE20K, from supervised pre-training, as released.

tools/train.sh configs/seg/pyramid_visionllama_large_upernet_ade20k_released.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 50.0 (paper, Tab. 4).
Unlike the paper: as pyramid_visionllama_upernet_ade20k_released.py.
"""

_base_ = "./pyramid_visionllama_upernet_ade20k_released.py"
model = dict(
    backbone=dict(arch="large", drop_path_rate=0.3),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
