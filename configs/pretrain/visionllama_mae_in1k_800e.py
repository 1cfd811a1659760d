"""MAE of VisionLLaMA-B on ImageNet-1K, 800 epochs.

tools/train.sh configs/pretrain/visionllama_mae_in1k_800e.py --amp

8 GPUs x 512 images. Fine-tuning: configs/cls/visionllama_mae_finetune_in1k.py.
The release has a feed-forward four times as wide: visionllama_mae_in1k_800e_released.py.
"""

_base_ = [
    "../_base_/models/mae.py",
    "../_base_/datasets/imagenet_mae.py",
    "../_base_/schedules/mae_800e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/pretrain.py",
]
