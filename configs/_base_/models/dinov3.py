# DINOv3 (arXiv 2508.10104), sizes S, B and L: components that leaves merge into their VisionLLaMA.
_dinov3 = dict(
    rope=dict(type="NormalisedRoPE2D", base=100.0, cls_position=None),
    registers=dict(count=4),
    attn=dict(qkv_bias=False),
    ffn=dict(type="GELUFFN"),
    norm_cfg=dict(type="LN", eps=1e-5),
    layer_scale=1e-5,
    with_cls_token=True,
)
# Tokens without weight decay.
_tokens = dict(cls_token=dict(decay_mult=0.0), registers=dict(decay_mult=0.0))
