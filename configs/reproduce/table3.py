"""Table 3: masked pre-training on ImageNet-1K, then fine-tuning or a linear probe, top-1."""

source = "paper v2, Tab. 3"
columns = {"fine-tuned": "finetune:accuracy/top1", "linear probe": "linear:accuracy/top1"}
evaluate = dict(finetune=dict(kind="test"), linear=dict(kind="test"))
_wide = (
    "the published number most likely comes from an encoder with a feed-forward four times as wide: see the "
    "row _released"
)


def _mae(encoder, epochs):
    return {
        how: [f"pretrain/{encoder}_mae_in1k_{epochs}e", f"cls/{encoder}_mae_{how}_in1k"]
        for how in ("finetune", "linear")
    }


rows = dict(
    vit=dict(
        label="ViT-B, MAE, 800 epochs",
        chain=_mae("vit", 800),
        published=[83.2, 65.1],
        note="mmpretrain: 83.3, 65.1",
    ),
    semmae=dict(label="ViT-B, SemMAE, 800 epochs", published=[83.4, 65.0]),
    simmim=dict(label="ViT-B, SimMIM, 800 epochs", published=[83.8, 56.7]),
    mff_mae=dict(label="ViT-B, MFF-MAE, 800 epochs", published=[83.6, 67.0]),
    visionllama=dict(
        label="VisionLLaMA-B, MAE, 800 epochs",
        chain=_mae("visionllama", 800),
        published=[84.0, 69.7],
        note=_wide,
    ),
    vit_1600e=dict(
        label="ViT-B, MAE, 1600 epochs",
        chain=_mae("vit", 1600),
        published=[83.4, 67.0],
        note="mmpretrain: 83.5, 67.1",
    ),
    maskfeat=dict(label="ViT-B, MaskFeat, 1600 epochs", published=[84.0, 62.3]),
    visionllama_1600e=dict(
        label="VisionLLaMA-B, MAE, 1600 epochs",
        chain=_mae("visionllama", 1600),
        published=[84.3, 71.7],
        note=_wide,
    ),
    vit_large=dict(
        label="ViT-L, MAE, 800 epochs",
        chain=_mae("vit_large", 800),
        published=[85.4, 73.7],
        note="mmpretrain: 85.4, 73.7",
    ),
    visionllama_large=dict(
        label="VisionLLaMA-L, MAE, 800 epochs",
        chain=_mae("visionllama_large", 800),
        published=[85.5, 77.3],
        note=_wide,
    ),
)
