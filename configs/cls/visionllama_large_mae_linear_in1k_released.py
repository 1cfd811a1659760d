"""Linear probe of VisionLLaMA-L after MAE, as the released code makes it.

tools/train.sh configs/cls/visionllama_large_mae_linear_in1k_released.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_mae_in1k_800e_released/epoch_800.pth

8 GPUs x 2048 images. Top-1 77.3 after 800 epochs of MAE (paper, Tab. 3).
Unlike the paper: a feed-forward four times as wide, positions not scaled, bilinear resizing.
"""

_base_ = "./visionllama_large_mae_linear_in1k.py"
model = dict(backbone=dict(rope=dict(type="RoPE2D"), ffn=dict(type="SwiGLU", expand=16, bias=True)))
_train_crop = dict(_base_._load_crop, interpolation="bilinear")
_train = [_train_crop, _base_._flip, _base_._pack]
train_dataloader = dict(dataset=dict(pipeline=_train))
_resized = dict(_base_._resize, scale=256, interpolation="bilinear")
val_dataloader = dict(dataset=dict(pipeline=[_base_._load, _resized, _base_._crop, _base_._pack]))
test_dataloader = val_dataloader
