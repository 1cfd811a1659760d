"""VisionLLaMA-L with mean pooling on ImageNet-1K at 224 px, 20 epochs: the second of two stages.

tools/train.sh configs/ablation/visionllama_large_in1k_gap.py --amp \
    --cfg-options load_from=work_dirs/visionllama_large_in1k_pre160_gap/epoch_800.pth

8 GPUs x 64 images. Top-1 84.3; unchanged 84.6 (paper, Tab. 7).
Asks whether a class token is needed, or the mean of the patches serves as well.
"""

_base_ = "../cls/visionllama_large_in1k.py"
model = dict(backbone=dict(out_type="avg_featmap"))
# Without a class token to spare weight decay.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(_delete_=True)))
