# Faster R-CNN on a feature pyramid: mask_rcnn.py without masks. Leaves put their backbone and its widths in.
_base_ = "./mask_rcnn.py"
unchecked = ["model.train_cfg.rcnn.mask_size", "model.test_cfg.rcnn.mask_thr_binary"]  # of the mask head
model = dict(type="FasterRCNN", roi_head=dict(mask_roi_extractor=None, mask_head=None))
