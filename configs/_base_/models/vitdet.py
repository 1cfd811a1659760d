# Mask R-CNN on a simple feature pyramid from one map of stride 16 (ViTDet). Leaves put their backbone in.
_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"
# Left in the host's file, read by nothing.
unchecked = ["model.train_cfg.rpn.debug", "model.train_cfg.rcnn.debug"]

_norm = dict(type="mmvisionllama.LN2d", eps=1e-6)
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),  # images of up to 1024 px become squares
    neck=dict(_delete_=True, type="mmvisionllama.SimpleFPN", in_channels=768, out_channels=256),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=_norm),
        mask_head=dict(norm_cfg=_norm),
    ),
)
