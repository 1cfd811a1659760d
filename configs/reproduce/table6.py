"""Table 6: ViTDet on COCO after masked pre-training; AP in per cent."""

source = "paper v2, Tab. 6"
columns = {"box AP": "coco/bbox_mAP", "mask AP": "coco/segm_mAP"}
evaluate = dict(kind="test")
rows = dict(
    vit=dict(
        label="ViT-B, MAE, 1600 epochs; 100 epochs",
        chain=["pretrain/vit_mae_in1k_1600e", "det/vit_vitdet_coco_100e"],
        published=[51.6, 45.7],
    ),
    visionllama=dict(
        label="VisionLLaMA-B, MAE, 800 epochs; 36 epochs",
        chain=["pretrain/visionllama_mae_in1k_800e", "det/visionllama_vitdet_coco"],
        published=[52.2, 46.3],
        note=(
            "the published number most likely comes from an encoder with a feed-forward four times as wide: "
            "see the row _released"
        ),
    ),
)
