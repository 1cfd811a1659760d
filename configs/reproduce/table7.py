"""Table 7: ablations on ImageNet-1K, top-1; VisionLLaMA-L at 160 and 224 px unless a row says otherwise."""

source = "paper v2, Tab. 7"
columns = {"top-1": "accuracy/top1", "seconds an iteration, 8 A100": None}
evaluate = dict(kind="test")


def _large(label, change, top1, seconds=None):
    chain = [f"ablation/visionllama_large_in1k_{stage}{change}" for stage in ("pre160_", "")]
    return dict(label=label, chain=chain, published=[top1, seconds])


rows = dict(
    visionllama_large=dict(
        label="VisionLLaMA-L: SwiGLU, LayerNorm, whole head, base 10000, shared, class token",
        chain=["cls/visionllama_large_in1k_pre160", "cls/visionllama_large_in1k"],
        published=[84.6, 0.4971],
    ),
    gelu=_large("feed-forward: GELU", "gelu", 84.6),
    rmsnorm=_large("norm: RMSNorm", "rmsnorm", 84.4, 0.4874),
    rope_ratio25=_large("rotated share of a head: 25 %", "rope_ratio25", 84.5),
    rope_ratio50=_large("rotated share of a head: 50 %", "rope_ratio50", 84.5),
    rope_base100=_large("rotary base: 100", "rope_base100", 84.6),
    rope_base1000=_large("rotary base: 1000", "rope_base1000", 84.6),
    rope_base100000=_large("rotary base: 100000", "rope_base100000", 84.4),
    rope_unshared=_large("rotary tables: one for each head", "rope_unshared", 84.2),
    visionllama_small=dict(
        label="VisionLLaMA-S, class token", chain=["cls/visionllama_small_in1k"], published=[81.6, None]
    ),
    gap_small=dict(
        label="VisionLLaMA-S, mean pooling",
        chain=["ablation/visionllama_small_in1k_gap"],
        published=[81.8, None],
    ),
    visionllama=dict(
        label="VisionLLaMA-B, class token",
        chain=["cls/visionllama_in1k_pre192", "cls/visionllama_in1k"],
        published=[83.6, None],
    ),
    gap=dict(
        label="VisionLLaMA-B, mean pooling",
        chain=["ablation/visionllama_in1k_pre192_gap", "ablation/visionllama_in1k_gap"],
        published=[83.6, None],
    ),
    gap_large=_large("VisionLLaMA-L, mean pooling", "gap", 84.3),
    deit3_large=dict(
        label="DeiT3-L, class token",
        chain=["cls/deit3_large_in1k_pre160", "cls/deit3_large_in1k"],
        published=[84.5, None],
    ),
    gap_deit3_large=dict(
        label="DeiT3-L, mean pooling",
        chain=["ablation/deit3_large_in1k_pre160_gap", "ablation/deit3_large_in1k_gap"],
        published=[84.2, None],
        note="the paper's text also says a drop of 0.7",
    ),
    pyramid_visionllama_small=dict(
        label="Pyramid VisionLLaMA-S, no absolute positions",
        chain=["cls/pyramid_visionllama_small_in1k"],
        published=[81.6, None],
    ),
    learned_pos_embed=dict(
        label="Pyramid VisionLLaMA-S, learned positions added",
        chain=["ablation/pyramid_visionllama_small_in1k_learned_pos_embed"],
        published=[81.6, None],
    ),
    peg=dict(
        label="Pyramid VisionLLaMA-S, PEG added",
        chain=["ablation/pyramid_visionllama_small_in1k_peg"],
        published=[81.8, None],
    ),
)
