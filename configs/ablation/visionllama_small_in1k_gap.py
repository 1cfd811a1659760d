"""VisionLLaMA-S with mean pooling on ImageNet-1K at 224 px, 800 epochs.

tools/train.sh configs/ablation/visionllama_small_in1k_gap.py --amp

8 GPUs x 256 images. Top-1 81.8; unchanged 81.6 (paper, Tab. 7).
Asks whether a class token is needed, or the mean of the patches serves as well.
"""

_base_ = "../cls/visionllama_small_in1k.py"
model = dict(backbone=dict(out_type="avg_featmap"))
# Without a class token to spare weight decay.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(_delete_=True)))
