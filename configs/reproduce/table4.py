"""Table 4: UperNet on ADE20K after supervised or masked pre-training, mIoU at a single scale."""

source = "paper v2, Tab. 4"
columns = {"parameters, M": "parameters", "mIoU": "mIoU"}
evaluate = dict(kind="test")


def _supervised(label, name, published, **more):
    return dict(
        label=label, chain=[f"cls/{name}_in1k", f"seg/{name}_upernet_ade20k"], published=published, **more
    )


def _mae(label, encoder, epochs, published, **more):
    return dict(
        label=f"{label}, MAE, {epochs} epochs",
        chain=[f"pretrain/{encoder}_mae_in1k_{epochs}e", f"seg/{encoder}_upernet_ade20k"],
        published=[None, published],
        **more,
    )


_wide = (
    "the published number most likely comes from an encoder with a feed-forward four times as wide: see the "
    "row _released"
)
rows = dict(
    swin_small=_supervised("Swin-S", "swin_small", [81.3, 47.6], note="mmseg: 47.72"),
    twins_svt=_supervised("Twins-SVT-B", "twins_svt", [88.5, 47.7], note="Twins: 47.4; mmseg: 48.04"),
    pyramid_visionllama=_supervised("Pyramid VisionLLaMA-B", "pyramid_visionllama", [88.5, 49.1]),
    swin=_supervised("Swin-B", "swin", [121, 48.1], note="mmseg: 47.99"),
    twins_svt_large=_supervised(
        "Twins-SVT-L", "twins_svt_large", [133, 48.8], note="Twins: 48.8; mmseg: 49.65"
    ),
    pyramid_visionllama_large=_supervised("Pyramid VisionLLaMA-L", "pyramid_visionllama_large", [133, 50.0]),
    vit=_mae("ViT-B", "vit", 800, 46.2),
    semmae=dict(label="ViT-B, SemMAE, 800 epochs", published=[None, 46.3]),
    mff_mae=dict(label="ViT-B, MFF-MAE, 800 epochs", published=[None, 47.9]),
    visionllama=_mae("VisionLLaMA-B", "visionllama", 800, 49.0, note=_wide),
    vit_1600e=_mae("ViT-B", "vit", 1600, 48.1, note="mmseg: 48.13"),
    maskfeat=dict(label="ViT-B, MaskFeat, 1600 epochs", published=[None, 48.3]),
    visionllama_1600e=_mae("VisionLLaMA-B", "visionllama", 1600, 50.2, note=_wide),
)
