# Components of ViT-5, RoPE-ViT and DINOv3, each alone in the place of VisionLLaMA's: options on one config.
_table = {
    "model.backbone.pos_embed": dict(type="LearnedPosEmbed"),
    "optim_wrapper.paramwise_cfg.custom_keys.pos_embed.decay_mult": 0.0,
}
_rms_norm = dict(type="RMSNorm", eps=1e-6)
_variants = dict(
    as2drope=dict(label="AS2DRoPE (base)"),
    axial=dict(label="axial", options={"model.backbone.rope": dict(type="RoPE2D")}),
    mixed=dict(
        label="mixed",
        options={
            "model.backbone.rope": dict(type="MixedRoPE2D"),
            "optim_wrapper.paramwise_cfg.custom_keys.frequencies.decay_mult": 0.0,
        },
    ),
    normalised=dict(label="normalised", options={"model.backbone.rope": dict(type="NormalisedRoPE2D")}),
    normalised_jitter=dict(
        label="normalised + jitter",
        options={"model.backbone.rope": dict(type="NormalisedRoPE2D", augment=dict(rescale=2.0))},
    ),
    as2drope_table=dict(label="AS2DRoPE + table", options=_table),
    table=dict(label="table alone", options={"model.backbone.rope": None, **_table}),
    rms_norm=dict(label="RMSNorm", options={"model.backbone.norm_cfg": _rms_norm}),
    # Two matrices and their biases have the parameters of SwiGLU's three of 256 channels.
    gelu=dict(label="GELU", options={"model.backbone.ffn": dict(type="GELUFFN", hidden_dims=382)}),
    registers=dict(
        label="4 registers",
        options={
            "model.backbone.registers": dict(count=4),
            "optim_wrapper.paramwise_cfg.custom_keys.registers.decay_mult": 0.0,
        },
    ),
    qk_norm=dict(label="QK-norm", options={"model.backbone.attn": dict(qk_norm=_rms_norm)}),
)
metric = [f"accuracy/top1_{size}" for size in ("32", "24", "48", "64", "32x48")]
seeds = [0, 1, 2]
