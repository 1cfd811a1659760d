"""ViT-B fine-tuned on ImageNet-1K after MAE, 100 epochs: the baseline.

tools/train.sh configs/cls/vit_mae_finetune_in1k.py --amp \
    --cfg-options load_from=work_dirs/vit_mae_in1k_800e/epoch_800.pth

8 GPUs x 128 images. Top-1 83.2 after 800 epochs of MAE, 83.4 after 1600 (paper, Tab. 3).
"""

_base_ = "./visionllama_mae_finetune_in1k.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch="base",
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type="avg_featmap",
        final_norm=False,
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
    ),
)
