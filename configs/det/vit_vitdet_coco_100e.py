"""ViT-B with Mask R-CNN as in ViTDet on COCO, 100 epochs, from MAE: a baseline.

tools/train.sh configs/det/vit_vitdet_coco_100e.py --amp \
    --cfg-options load_from=work_dirs/vit_mae_in1k_1600e/epoch_1600.pth

8 GPUs x 4 images, two batches to a step. Box AP 51.6, mask AP 45.7 after 1600 epochs of MAE
(paper, Tab. 6). Weight decay reaches relative positions, as in ViTDet, and spares absolute ones.
"""

_base_ = [
    "../_base_/models/vitdet.py",
    "../_base_/datasets/coco_lsj.py",
    "../_base_/schedules/vitdet_100e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/det.py",
]
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmvisionllama.ViTDet",
        arch="base",
        img_size=1024,
        drop_path_rate=0.1,
    ),
)
# MAE has no relative positions; they start at zero.
accepted_differences = ["model.backbone.layers.*.attn.rel_pos_[hw]"]
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0))))
