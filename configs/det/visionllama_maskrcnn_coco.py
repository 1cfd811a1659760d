"""VisionLLaMA-B with Mask R-CNN on COCO: the short name of visionllama_vitdet_coco.py.

tools/train.sh configs/det/visionllama_maskrcnn_coco.py --amp \
    --cfg-options load_from=work_dirs/visionllama_mae_in1k_800e/epoch_800.pth

8 GPUs x 4 images, two batches to a step. Box AP 52.2, mask AP 46.3 (paper, Tab. 6).
"""

_base_ = "./visionllama_vitdet_coco.py"
