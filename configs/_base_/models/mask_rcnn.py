# Mask R-CNN on a feature pyramid, as mmdet has it. Leaves put their backbone and its widths in.
_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"
# Left in the host's file, read by nothing.
unchecked = ["model.train_cfg.rpn.debug", "model.train_cfg.rcnn.debug"]
model = dict(
    # The host's, which also work under bfloat16 autocast.
    rpn_head=dict(type="mmvisionllama.RPNHead"),
    roi_head=dict(
        bbox_roi_extractor=dict(type="mmvisionllama.SingleRoIExtractor"),
        mask_roi_extractor=dict(type="mmvisionllama.SingleRoIExtractor"),
    ),
)
