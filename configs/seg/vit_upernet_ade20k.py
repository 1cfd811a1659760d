"""ViT-B with UperNet on ADE20K, from MAE pre-training: the baseline of visionllama_upernet_ade20k.py.

tools/train.sh configs/seg/vit_upernet_ade20k.py --amp \
    --cfg-options load_from=MAE.pth

8 GPUs x 2 images, lr 1e-4 as in mmseg's config of MAE. mIoU 46.2 after 800 epochs of MAE, 48.1 after 1600
(paper, Tab. 4). The second is mmseg's 48.13, of a ViT with relative position biases, which this one lacks.
mmpretrain publishes such MAE checkpoints (mae_vit-base-p16_8xb512-amp-coslr-{800e,1600e}_in1k).
"""

_base_ = "./visionllama_upernet_ade20k.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmpretrain.VisionTransformer",
        arch="base",
        img_size=512,
        out_type="featmap",
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        drop_path_rate=0.1,
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0))),
)
