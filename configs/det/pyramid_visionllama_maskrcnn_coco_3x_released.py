"""Pyramid VisionLLaMA-B with Mask R-CNN on COCO, 36 epochs, as the released code trains it.

tools/train.sh configs/det/pyramid_visionllama_maskrcnn_coco_3x_released.py --amp \
    --cfg-options load_from=CLASSIFIER.pth

8 GPUs x 2 images. Box AP 49.1, mask AP 43.8 (paper, Tab. 5).
Unlike the paper: LayerScale, anchor 14 at every stage, GSA keys off their places, padded tokens attended to,
and each stage's output norm fed on to the next stage.
"""

_base_ = "./pyramid_visionllama_maskrcnn_coco_3x.py"
model = dict(
    backbone=dict(
        out_norm="each_fed_on",
        rope=dict(type="AS2DRoPE", anchor=14, scale_side="rows", key_positions="released"),
        window=dict(size=7, mask_padding=False),
        layer_scale=1e-4,
    ),
)
