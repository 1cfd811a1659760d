# Mask R-CNN on a simple feature pyramid from one map of stride 16 (ViTDet). Baselines put their backbone in.
_base_ = "./mask_rcnn.py"

_norm = dict(type="mmvisionllama.LN2d", eps=1e-6)
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmvisionllama.VisionLLaMA",
        arch="base",
        img_size=224,  # of pre-training: positions of global blocks scale to its grid
        out_type="featmap",
        window=dict(size=14, global_blocks=(2, 5, 8, 11)),
        layer_scale=None,
        drop_path_rate=0.1,
        drop_path_schedule="linear",
    ),
    data_preprocessor=dict(pad_size_divisor=1024),  # images of up to 1024 px become squares
    neck=dict(_delete_=True, type="mmvisionllama.SimpleFPN", in_channels=768, out_channels=256),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=_norm),
        mask_head=dict(norm_cfg=_norm),
    ),
)
