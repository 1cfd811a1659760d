"""VisionLLaMA-B with Mask R-CNN as in ViTDet on COCO, 36 epochs, from MAE.

tools/train.sh configs/det/visionllama_vitdet_coco.py --amp \
    --cfg-options load_from=work_dirs/visionllama_mae_in1k_800e/epoch_800.pth

8 GPUs x 4 images, two batches to a step. Box AP 52.2, mask AP 46.3 (paper, Tab. 6), most likely of the
wide encoder. Add model.backbone.with_cp=True where memory is short. The release differs in warm-up, length
and five quirks: visionllama_vitdet_coco_released.py.
"""

_base_ = [
    "../_base_/models/vitdet.py",
    "../_base_/datasets/coco_lsj.py",
    "../_base_/schedules/vitdet_36e.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/det.py",
]
