# Mask R-CNN on a feature pyramid, as mmdet has it. Leaves put their backbone and its widths in.
_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"
# Left in the host's file, read by nothing.
unchecked = ["model.train_cfg.rpn.debug", "model.train_cfg.rcnn.debug"]
