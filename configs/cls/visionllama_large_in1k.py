"""VisionLLaMA-L on ImageNet-1K at 224 px, 20 epochs after those of visionllama_large_in1k_pre160.py.

tools/train.sh configs/cls/visionllama_large_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160/epoch_800.pth

8 GPUs x 64 images. Top-1 84.6 (paper, Tab. 2). With random erasing, as in the release's command for L.
Positions are scaled to this stage's grid (paper, Eq. 4), so their factor is 1 at 224 px. To keep the first
stage's factor, 10 / 14: model.backbone.rope="dict(type=AS2DRoPE,anchor=10)".
"""

_base_ = "./visionllama_in1k.py"
model = dict(
    backbone=dict(arch="large", drop_path_rate=0.45),
    head=dict(in_channels=1024),
)
_train = [_base_._load_crop, _base_._flip, _base_._randaug, _base_._erase, _base_._pack]
train_dataloader = dict(dataset=dict(pipeline=_train))
