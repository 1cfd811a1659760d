"""MAE of VisionLLaMA-tiny on DigitScenes, from scratch.

tools/train.sh configs/toy/visionllama_tiny_mae_digitscenes.py

One process on two CPU cores, 64 images. Loss on held-out images 0.45 (three seeds).
Fine-tuning and linear probe: configs/study/mae_digitscenes.py.
"""

_base_ = [
    "../_base_/datasets/digitscenes_mae.py",
    "../_base_/schedules/mae_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/pretrain.py",
]
model = dict(
    type="mmvisionllama.MAE",
    backbone=dict(
        type="mmvisionllama.MAEVisionLLaMA", arch="tiny", img_size=64, patch_size=8, mask_ratio=0.75
    ),
    neck=dict(
        type="MAEPretrainDecoder",
        num_patches=64,
        patch_size=8,
        embed_dim=96,
        decoder_embed_dim=64,
        decoder_depth=2,
        decoder_num_heads=4,
    ),
    head=dict(
        type="MAEPretrainHead",
        norm_pix=True,
        patch_size=8,
        loss=dict(type="PixelReconstructionLoss", criterion="L2"),
    ),
)
