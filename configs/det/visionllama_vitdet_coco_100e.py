"""VisionLLaMA-B with Mask R-CNN as in ViTDet on COCO, 100 epochs, from MAE.

tools/train.sh configs/det/visionllama_vitdet_coco_100e.py --amp \
    --cfg-options load_from=work_dirs/visionllama_mae_in1k_800e/epoch_800.pth

8 GPUs x 4 images, two batches to a step. No published result: the schedule of ViT-B.
"""

_base_ = [
    "../_base_/models/vitdet.py",
    "../_base_/datasets/coco_lsj.py",
    "../_base_/schedules/vitdet_100e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/det.py",
]
