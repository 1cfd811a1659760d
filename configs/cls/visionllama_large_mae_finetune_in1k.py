"""VisionLLaMA-L fine-tuned on ImageNet-1K after MAE, 50 epochs.

tools/train.sh configs/cls/visionllama_large_mae_finetune_in1k.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_mae_in1k_800e/epoch_800.pth

8 GPUs x 128 images. Top-1 85.5 after 800 epochs of MAE (paper, Tab. 3),
most likely of the wide encoder. The release has that encoder:
visionllama_large_mae_finetune_in1k_released.py.
"""

_base_ = [
    "../_base_/models/classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/datasets/imagenet_randaug.py",
    "../_base_/schedules/mae_finetune_50e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls.py",
]
model = dict(
    backbone=dict(
        type="mmvisionllama.VisionLLaMA",
        arch="large",
        out_type="avg_featmap",
        layer_scale=None,
        drop_path_rate=0.1,
        drop_path_schedule="linear",
    ),
    head=dict(in_channels=1024, init_cfg=dict(type="TruncNormal", layer="Linear", std=2e-5)),
)
