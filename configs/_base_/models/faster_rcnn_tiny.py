# A small Faster R-CNN for ten classes of 64 px images: mask_rcnn_tiny.py without masks.
_base_ = "./mask_rcnn_tiny.py"
model = dict(type="FasterRCNN", roi_head=dict(mask_roi_extractor=None, mask_head=None))
