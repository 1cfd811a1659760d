"""VisionLLaMA-B with Mask R-CNN as in ViTDet on COCO, as the released code trains it.

tools/train.sh configs/det/visionllama_vitdet_coco_released.py --amp \
    --cfg-options load_from=work_dirs/visionllama_mae_in1k_800e_released/epoch_800.pth

8 GPUs x 4 images, two batches to a step. Box AP 52.2, mask AP 46.3 (paper, Tab. 6).
Unlike the paper: warm-up of 125 steps, about 37 epochs, a feed-forward four times as wide, positions not
scaled, padded tokens attended to, drop-path on attention alone, and images padded in grey (114) before they
are normalised.
"""

_base_ = "./visionllama_vitdet_coco.py"
model = dict(
    backbone=dict(
        rope=dict(type="RoPE2D"),
        ffn=dict(type="SwiGLU", expand=16, bias=True),
        window=dict(mask_padding=False),
        drop_path_branches=("attn",),
    ),
)
_pad = dict(type="mmvisionllama.PadImage", size=(1024, 1024), pad_val=dict(img=(114, 114, 114)))
_train = [_base_._load_train, _base_._mark, _base_._annotate, _base_._flip, _base_._jitter, _base_._crop]
train_dataloader = dict(dataset=dict(pipeline=[*_train, _base_._filter, _pad, dict(type="PackDetInputs")]))
_test = [_base_._load, _base_._resize, _pad, _base_._mark, _base_._annotate, _base_._pack]
val_dataloader = dict(dataset=dict(pipeline=_test))
test_dataloader = val_dataloader
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=125, by_epoch=False),
    dict(type="MultiStepLR", milestones=[28, 34], gamma=0.1, begin=0, end=37, by_epoch=True),
]
train_cfg = dict(max_epochs=37)
