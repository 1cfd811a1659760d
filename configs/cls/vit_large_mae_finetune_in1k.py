"""ViT-L fine-tuned on ImageNet-1K after MAE, 50 epochs: the baseline.

tools/train.sh configs/cls/vit_large_mae_finetune_in1k.py --amp \
    --cfg-options load_from=work_dirs/vit_large_mae_in1k_800e/epoch_800.pth

8 GPUs x 128 images. Top-1 85.4 after 800 epochs of MAE (paper, Tab. 3).
"""

_base_ = "./visionllama_large_mae_finetune_in1k.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch="large",
        img_size=224,
        patch_size=16,
        drop_path_rate=0.2,
        out_type="avg_featmap",
        final_norm=False,
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        layer_decay_rate=0.75,
        custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
    )
)
