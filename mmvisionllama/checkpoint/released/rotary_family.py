"""Released weights of other rotary vision transformers: ViT-5, RoPE-ViT, DINOv3, EVA-02, Perception Encoder.

Those of ViT-5 have the names of its repository, all others those of timm (``timm.models.eva``).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mmvisionllama.checkpoint.matching import shapes_of
from mmvisionllama.checkpoint.released.family import Family, Licence, Renames, Weights
from mmvisionllama.checkpoint.released.head_channels import (
    columns_first,
    rows_first,
    rows_first_in_halves,
)
from mmvisionllama.checkpoint.released.shapes import Shapes, block_options, heads_of, name_of
from mmvisionllama.errors import CheckpointError
from mmvisionllama.models.visionllama import ARCHS

# Heads of every published size, (width, depth), unless a head's width or its frequencies tell.
HEADS = {
    (192, 12): 3,
    (384, 12): 6,
    (512, 12): 8,
    (512, 20): 8,
    (640, 12): 10,
    (768, 12): 12,
    (1024, 23): 16,
    (1024, 24): 16,
    (1152, 28): 16,
    (1280, 32): 20,
    (1536, 47): 16,
    (1536, 50): 16,
    (4096, 40): 32,
}
_RENAMES: Renames = (
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"^pos_embed$", "pos_embed.weight"),
    (r"^reg_token$", "registers.tokens"),
    (r"^norm_pre\.", "pre_norm."),
    (r"^(fc_)?norm\.", "norms.all."),
    (r"^attn_pool\.", "pool."),
    (r"\.gamma_", ".gamma"),
    (r"\.attn\.norm\.", ".attn.inner_norm."),
    (r"\.attn\.([qv]_bias)$", r".attn.qkv.\1"),
    (r"\bmlp\.fc1_g\.", "ffn.gate."),
    (r"\bmlp\.fc1_x\.", "ffn.up."),
    (r"\bmlp\.fc1\.", "ffn.up."),
    (r"\bmlp\.fc2\.", "ffn.down."),
    (r"\bmlp\.norm\.", "ffn.norm."),
)
_STILL = dict(cls_position=None)
# The norm is told, so that it stays where another output is asked for.
_CLASSIFIER = dict(out_type="cls_token", out_norm="shared")
_POOLED = dict(out_type="avg_featmap", out_norm="shared")
_CLIP = dict(mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323])
_HALF = dict(mean=[127.5] * 3, std=[127.5] * 3)


# --- weights by our names that need more than a name -------------------------------------------------------


def _prepared(weights: Weights) -> Weights:
    """Merge, split and reshape what models of ours keep in another way."""
    weights = _with_table_as_map(dict(weights))
    for name in [name for name in weights if name.endswith(".attn.q_proj.weight")]:
        _merge_queries_keys_values(weights, name.removesuffix("q_proj.weight"))
    for name in [name for name in weights if name.endswith(".ffn.up.weight")]:
        _split_gate(weights, name.removesuffix("up.weight"))
    if "rope.freqs" in weights:
        Shapes(shapes_of(weights)).of("rope.freqs", 4)
        frequency_LAP2 = weights.pop("rope.freqs").permute(1, 2, 3, 0)
        weights |= {f"rope.frequencies.{i}": x for i, x in enumerate(frequency_LAP2)}
    return weights


def _with_table_as_map(weights: Weights) -> Weights:
    """Give a table of positions the shape of a map; the class token's place in it is added to the token."""
    table_1ND, cls_token = weights.get("pos_embed.weight"), weights.get("cls_token")
    if table_1ND is None or table_1ND.ndim != 3:
        return weights
    shapes = Shapes(pos_embed=tuple(table_1ND.shape))
    own = int(cls_token is not None and not _is_square(table_1ND.shape[1]))
    side = shapes.side("pos_embed", extra=own)
    if own:
        weights["cls_token"] = cls_token + table_1ND[:, :1]
    weights["pos_embed.weight"] = table_1ND[:, own:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    return weights


def _is_square(number: int) -> bool:
    return round(number**0.5) ** 2 == number


def _merge_queries_keys_values(weights: Weights, stem: str) -> None:
    names = [f"{stem}{x}_proj.weight" for x in "qkv"]
    if len({Shapes(shapes_of(weights)).of(name, 2) for name in names}) > 1:
        raise CheckpointError(f"{', '.join(names)} must have one shape")
    weights[f"{stem}qkv.weight"] = torch.cat([weights.pop(name) for name in names])
    for x in "qv":
        if (bias := weights.pop(f"{stem}{x}_proj.bias", None)) is not None:
            weights[f"{stem}qkv.{x}_bias"] = bias


def _split_gate(weights: Weights, stem: str) -> None:
    """Split a layer that is gate and input at once: it has twice the width that the next one takes."""
    down = weights.get(f"{stem}down.weight")
    if down is None or len(weights[f"{stem}up.weight"]) != 2 * down.shape[1]:
        return
    for leaf in ("weight", "bias"):
        if f"{stem}up.{leaf}" in weights:
            both = weights[f"{stem}up.{leaf}"]
            weights[f"{stem}gate.{leaf}"], weights[f"{stem}up.{leaf}"] = both.chunk(2)


# --- configs -----------------------------------------------------------------------------------------------


def _sizes(norm_cfg: dict[str, Any]) -> Callable[[Shapes, Mapping[str, Any]], dict[str, Any]]:
    """Make a reader of sizes for networks with these norms."""

    def read(shapes: Shapes, known: Mapping[str, Any]) -> dict[str, Any]:
        width, channels, patch, _ = shapes.of("patch_embed.projection.weight", 4)
        depth, block = shapes.count("blocks"), "blocks.0"
        published = HEADS.get((width, depth))
        if "rope.frequencies.0" in shapes:
            published = shapes.of("rope.frequencies.0", 3)[0]
        elif f"{block}.attn.q_norm.weight" in shapes:
            published = width // shapes.of(f"{block}.attn.q_norm.weight", 1)[0]
        heads = heads_of(known, published, f"width {width} and depth {depth}")
        options = block_options(shapes, block, width)
        if f"{block}.attn.qkv.q_bias" in shapes:
            options["attn"]["qkv_bias"] = "qv"
        for name, weight in (("qk_norm", "q_norm"), ("inner_norm", "inner_norm")):
            if f"{block}.attn.{weight}.weight" in shapes:
                options["attn"][name] = dict(norm_cfg)
        if f"{block}.ffn.norm.weight" in shapes:
            options["ffn"]["norm_cfg"] = dict(norm_cfg)
        arch = dict(embed_dims=width, num_layers=depth, num_heads=heads)
        return dict(
            arch=name_of(arch, ARCHS),
            patch_size=patch,
            in_channels=channels,
            norm_cfg=dict(norm_cfg),
            with_cls_token="cls_token" in shapes,
            **options,
        )

    return read


_LN6 = _sizes(dict(type="LN", eps=1e-6))
_LN5 = _sizes(dict(type="LN", eps=1e-5))
_RMS = _sizes(dict(type="RMSNorm", eps=1e-6))


def _positions(shapes: Shapes, img_size: int, *, antialias: bool) -> dict[str, Any]:
    """Tell the table of positions that is added, if there is one, and the size of images it was for."""
    if "pos_embed.weight" not in shapes:
        return dict(img_size=img_size)
    side, patch = shapes.of("pos_embed.weight", 4)[-1], shapes.of("patch_embed.projection.weight", 4)[-1]
    table = dict(type="LearnedPosEmbed") | (dict(antialias=True) if antialias else {})
    return dict(img_size=side * patch, pos_embed=table)


def _registers(shapes: Shapes, **options: Any) -> dict[str, Any]:
    if "registers.tokens" not in shapes:
        return {}
    return dict(registers=dict(count=shapes.of("registers.tokens", 3)[1], **options))


def _stretched(anchor: int | None, **options: Any) -> dict[str, Any]:
    own = {} if anchor is None else dict(anchor=anchor)
    return dict(rope=dict(type="AS2DRoPE", scale_side="each", **own, **_STILL, **options))


def _table_side(shapes: Shapes) -> int | None:
    return shapes.of("pos_embed.weight", 4)[-1] if "pos_embed.weight" in shapes else None


def _vit5(shapes: Shapes) -> dict[str, Any]:
    return dict(
        **_CLASSIFIER,
        **_stretched(_table_side(shapes)),
        **_registers(shapes, rope=dict(type="RoPE2D", base=100.0)),
        **_positions(shapes, 224, antialias=False),
    )


def _rope_vit(shapes: Shapes) -> dict[str, Any]:
    mixed = "rope.frequencies.0" in shapes
    kind = dict(type="MixedRoPE2D", base=10.0) if mixed else dict(type="RoPE2D", base=100.0)
    positions = _positions(shapes, 224, antialias=True)
    return dict(**_CLASSIFIER, rope=kind | _STILL, layer_scale=1e-5, **positions)


def _dinov3(shapes: Shapes) -> dict[str, Any]:
    rope = dict(type="NormalisedRoPE2D", base=100.0, **_STILL)
    task = dict(out_type="cls_token", out_norm="tokens", layer_scale=1e-5, img_size=256)
    return dict(rope=rope, **task, **_registers(shapes))


def _rope_gap(shapes: Shapes) -> dict[str, Any]:
    task = dict(_POOLED, layer_scale=1e-5, img_size=256)
    return dict(**task, **_stretched(16), **_registers(shapes))


def _eva02(shapes: Shapes) -> dict[str, Any]:
    if "blocks.0.ffn.gate.weight" not in shapes:
        raise CheckpointError("these are weights of EVA (2022), which has no rotary positions: take EVA-02's")
    return _stretched(16) | _positions(shapes, 224, antialias=True)


def _perception_encoder(shapes: Shapes, **task: Any) -> dict[str, Any]:
    rope = _stretched(_table_side(shapes), **(dict(first=1.0) if "cls_token" in shapes else {}))
    return dict(pre_norm=True, **task, **rope, **_positions(shapes, 224, antialias=True))


def _pe_core(shapes: Shapes) -> dict[str, Any]:
    hidden, width = shapes.of("pool.ffn.up.weight", 2)
    pool = dict(type="AttentionPool", num_heads=8, expand=hidden / width)
    return _perception_encoder(shapes, out_type=pool, out_norm="tokens")


def _pe_spatial(shapes: Shapes) -> dict[str, Any]:
    return _perception_encoder(shapes, out_type="featmap", out_norm="none")


# --- the table ---------------------------------------------------------------------------------------------

_DINOV3_TERMS = (
    "weights of DINOv3 are Meta's, under the DINOv3 License, which has terms of its own for their use and "
    "for passing them on. Read it at https://ai.meta.com/resources/models-and-libraries/dinov3-license/"
)
_TIMM = dict(renames=_RENAMES, prepare=_prepared)

ROTARY_FAMILY = {
    "vit5": Family(
        about="ViT-5 S, B, L and XL, by the names of its repository",
        has=("cls_token", "blocks.0.attn.q_norm.weight", "blocks.0.attn.rope.freqs", "norm.weight"),
        lacks=("blocks.0.norm1.bias",),
        sizes=_RMS,
        task=_vit5,
        channels=rows_first,
        unused={r"blocks\.\d+\.attn\.rope(_reg)?\.freqs": "frequencies, which are computed"},
        **_TIMM,
    ),
    "rope_vit": Family(
        about="RoPE-ViT S, B and L with axial positions (timm's `vit_*_rope_224`)",
        has=("cls_token", "blocks.0.attn.qkv.bias", "blocks.0.gamma_1", "norm.weight"),
        lacks=("pos_embed", "reg_token", "rope.freqs", "norm_pre.weight", "blocks.0.attn.q_norm.weight"),
        sizes=_LN6,
        task=_rope_vit,
        channels=columns_first,
        **_TIMM,
    ),
    "rope_vit_mixed": Family(
        about="RoPE-ViT S, B and L with learned frequencies, and positions that are added or none "
        "(timm's `vit_*_rope_mixed_*`)",
        has=("cls_token", "rope.freqs", "norm.weight"),
        lacks=("reg_token", "norm_pre.weight"),
        sizes=_LN6,
        task=_rope_vit,
        **_TIMM,
    ),
    "rope_vit_ape": Family(
        about="RoPE-ViT S, B and L with axial positions and added ones (timm's `vit_*_rope_ape_224`), to be "
        "asked for: their weights have the names of DeiT-III's, which is not rotary",
        has=("cls_token", "pos_embed", "blocks.0.attn.qkv.bias", "blocks.0.gamma_1", "norm.weight"),
        asked=True,
        sizes=_LN6,
        task=_rope_vit,
        channels=columns_first,
        **_TIMM,
    ),
    "dinov3": Family(
        about="DINOv3 and models like it (timm's `vit_*_dinov3*`, `vit_*_lingbot`)",
        has=("cls_token", "reg_token", "blocks.0.attn.qkv.weight", "blocks.0.gamma_1", "norm.weight"),
        lacks=("pos_embed", "norm_pre.weight", "blocks.0.attn.qkv.bias", "blocks.0.attn.q_norm.weight"),
        sizes=_LN5,
        task=_dinov3,
        channels=rows_first_in_halves,
        licence=Licence("dinov3", _DINOV3_TERMS),
        **_TIMM,
    ),
    "rope_gap": Family(
        about="timm's own classifiers with registers and mean pooling (`vit_*_rope_reg*_gap_256`)",
        has=("reg_token", "blocks.0.attn.qkv.weight", "blocks.0.gamma_1", "fc_norm.weight"),
        lacks=("cls_token", "pos_embed"),
        sizes=_LN6,
        task=_rope_gap,
        channels=rows_first,
        pixels=_HALF,
        **_TIMM,
    ),
    "eva02": Family(
        about="EVA-02 Ti, S, B and L (timm's `eva02_*`, without the `enormous` ones)",
        has=("cls_token", "pos_embed", "blocks.0.attn.q_bias|blocks.0.attn.q_proj.weight", "fc_norm.weight"),
        lacks=("reg_token", "norm_pre.weight", "blocks.0.gamma_1"),
        sizes=_LN6,
        task=lambda shapes: _POOLED | _eva02(shapes),
        channels=rows_first,
        pixels=_CLIP,
        **_TIMM,
    ),
    "eva02_clip": Family(
        about="the image encoders of EVA-02-CLIP B and L (timm's `eva02_*_clip_*`)",
        has=("cls_token", "pos_embed", "blocks.0.attn.q_proj.weight", "blocks.0.attn.norm.weight"),
        lacks=("reg_token", "norm_pre.weight", "blocks.0.gamma_1", "fc_norm.weight"),
        sizes=_LN6,
        task=lambda shapes: _CLASSIFIER | _eva02(shapes),
        channels=rows_first,
        pixels=_CLIP,
        **_TIMM,
    ),
    "pe_core": Family(
        about="Perception Encoder, core (timm's `vit_pe_core_*`)",
        has=("norm_pre.weight", "pos_embed", "attn_pool.latent", "blocks.0.attn.qkv.bias", "norm.weight"),
        sizes=_LN5,
        task=_pe_core,
        channels=columns_first,
        pixels=_HALF,
        **_TIMM,
    ),
    "pe_spatial": Family(
        about="Perception Encoder, spatial and lang (timm's `vit_pe_spatial_*`, `vit_pe_lang_*`)",
        has=("norm_pre.weight", "pos_embed", "blocks.0.attn.qkv.bias"),
        lacks=("attn_pool.latent", "norm.weight", "fc_norm.weight"),
        sizes=_LN5,
        task=_pe_spatial,
        channels=columns_first,
        pixels=_HALF,
        **_TIMM,
    ),
}
