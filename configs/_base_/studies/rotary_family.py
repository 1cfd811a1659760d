# Components of ViT-5, RoPE-ViT and DINOv3, each alone in the place of VisionLLaMA's: label and options.
_table = {
    "model.backbone.pos_embed": dict(type="LearnedPosEmbed"),
    "optim_wrapper.paramwise_cfg.custom_keys.pos_embed.decay_mult": 0.0,
}
_mixed = {
    "model.backbone.rope": dict(type="MixedRoPE2D"),
    "optim_wrapper.paramwise_cfg.custom_keys.frequencies.decay_mult": 0.0,
}
_jitter = dict(type="NormalisedRoPE2D", augment=dict(rescale=2.0))
_rms_norm = dict(type="RMSNorm", eps=1e-6)
_registers = {
    "model.backbone.registers": dict(count=4),
    "optim_wrapper.paramwise_cfg.custom_keys.registers.decay_mult": 0.0,
}
_variants = dict(
    as2drope=("AS2DRoPE (base)", {}),
    axial=("axial", {"model.backbone.rope": dict(type="RoPE2D")}),
    mixed=("mixed", _mixed),
    normalised=("normalised", {"model.backbone.rope": dict(type="NormalisedRoPE2D")}),
    normalised_jitter=("normalised + jitter", {"model.backbone.rope": _jitter}),
    as2drope_table=("AS2DRoPE + table", _table),
    table=("table alone", {"model.backbone.rope": None, **_table}),
    rms_norm=("RMSNorm", {"model.backbone.norm_cfg": _rms_norm}),
    # Two matrices and their biases have the parameters of SwiGLU's three of 256 channels.
    gelu=("GELU", {"model.backbone.ffn": dict(type="GELUFFN", hidden_dims=382)}),
    registers=("4 registers", _registers),
    qk_norm=("QK-norm", {"model.backbone.attn": dict(qk_norm=_rms_norm)}),
)
metric = [f"accuracy/top1_{size}" for size in ("32", "24", "48", "64", "32x48")]
seeds = [0, 1, 2]
