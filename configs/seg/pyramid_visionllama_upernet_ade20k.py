"""Pyramid VisionLLaMA-B with UperNet on ADE20K, from supervised pre-training.

tools/train.sh configs/seg/pyramid_visionllama_upernet_ade20k.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. mIoU 49.1 (paper, Tab. 4). Without load_from the backbone starts from random values.
The release differs in weight decay and five quirks: pyramid_visionllama_upernet_ade20k_released.py.
"""

_base_ = [
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/seg_160k.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/seg.py",
]
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        type="mmvisionllama.PyramidVisionLLaMA",
        arch="base",
        img_size=224,  # of pre-training: positions scale to its grids
        out_type="featmap",
        out_indices=(0, 1, 2, 3),
        layer_scale=None,
        drop_path_rate=0.2,
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0))))
