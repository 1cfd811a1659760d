# ViT-5 (arXiv 2602.08071): components in the place of VisionLLaMA's, which leaves merge into their backbone.
_rms_norm = dict(type="RMSNorm", eps=1e-6)
_vit5 = dict(
    rope=dict(type="AS2DRoPE", scale_side="each", cls_position=None),
    registers=dict(count=4, rope=dict(type="RoPE2D", base=100.0)),
    pos_embed=dict(type="LearnedPosEmbed"),
    attn=dict(qkv_bias=False, qk_norm=_rms_norm),
    ffn=dict(type="GELUFFN"),
    norm_cfg=_rms_norm,
)
# Tokens and tables without weight decay, as the class token; that of registers is not told.
_tokens = dict(pos_embed=dict(decay_mult=0.0), registers=dict(decay_mult=0.0))
