# MAE: the host's decoder, head and loss. Leaves add the encoder and its width.
model = dict(
    type="mmvisionllama.MAE",
    backbone=dict(type="mmvisionllama.MAEVisionLLaMA", arch="base", img_size=224, mask_ratio=0.75),
    neck=dict(
        type="MAEPretrainDecoder",
        num_patches=196,
        patch_size=16,
        embed_dim=768,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
    ),
    head=dict(
        type="MAEPretrainHead",
        norm_pix=True,
        patch_size=16,
        loss=dict(type="PixelReconstructionLoss", criterion="L2"),
    ),
    data_preprocessor=dict(
        type="SelfSupDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)
