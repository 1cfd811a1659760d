"""Table 5: Mask R-CNN on COCO, 36 epochs after supervised pre-training; AP in per cent."""

source = "paper v2, Tab. 5"
columns = {
    "parameters, M": "parameters",
    "box AP": "coco/bbox_mAP",
    "box AP50": "coco/bbox_mAP_50",
    "box AP75": "coco/bbox_mAP_75",
    "mask AP": "coco/segm_mAP",
    "mask AP50": "coco/segm_mAP_50",
    "mask AP75": "coco/segm_mAP_75",
}
evaluate = dict(kind="test")


def _row(label, name, published, **more):
    chain = [f"cls/{name}_in1k", f"det/{name}_maskrcnn_coco_3x"]
    return dict(label=label, chain=chain, published=published, **more)


rows = dict(
    swin_small=_row(
        "Swin-S", "swin_small", [None, 47.6, 69.4, 52.5, 42.8, 66.5, 46.4], note="mmdet: 48.2, 43.2"
    ),
    twins_svt=_row("Twins-SVT-B", "twins_svt", [None, 48.0, 69.5, 52.7, 43.0, 66.8, 46.6]),
    pyramid_visionllama=_row(
        "Pyramid VisionLLaMA-B", "pyramid_visionllama", [76.3, 49.1, 70.5, 54.0, 43.8, 67.4, 47.0]
    ),
)
