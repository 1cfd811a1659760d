"""Table of the kinds of released checkpoints: how to recognise, rename and configure each."""

from collections.abc import Mapping
from typing import Any

from mmvisionllama.checkpoint.released.family import Family, Renames
from mmvisionllama.checkpoint.released.quirks import quirks_of
from mmvisionllama.checkpoint.released.rotary_family import ROTARY_FAMILY
from mmvisionllama.checkpoint.released.shapes import DENSE_TASKS, Shapes, dit_sizes, pyramid_sizes

_DEIT_BLOCK: Renames = (
    (r"\.gamma_", ".gamma"),
    (r"\.mlp\.c_fc1\.", ".ffn.gate."),
    (r"\.mlp\.c_fc2\.", ".ffn.up."),
    (r"\.mlp\.c_proj\.", ".ffn.down."),
    (r"\.attn\.sr\.", ".attn.summary."),
)
_PLAIN: Renames = ((r"^patch_embed\.proj\.", "patch_embed.projection."), *_DEIT_BLOCK)
_PYRAMID: Renames = (
    (r"^blocks\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^patch_embeds\.(\d+)\.proj\.", r"stages.\1.patch_embed.projection."),
    (r"^patch_embeds\.(\d+)\.norm\.", r"stages.\1.patch_embed.norm."),
    *_DEIT_BLOCK,
)
_MAE: Renames = (
    (r"^layers\.", "blocks."),
    (r"^(blocks\.\d+)\.ln(\d)\.", r"\1.norm\2."),
    (r"\.ffn\.w3\.", ".ffn.down."),
    (r"\.attn\.sr\.", ".attn.summary."),
)
_DIT: Renames = (
    (r"^x_embedder\.proj\.", "patch_embed."),
    (r"^t_embedder\.mlp\.0\.", "time_embed.up."),
    (r"^t_embedder\.mlp\.2\.", "time_embed.down."),
    (r"^y_embedder\.embedding_table\.", "label_embed."),
    (r"^final_layer\.", "head."),
    (r"adaLN_modulation\.1\.", "modulation.linear."),
    (r"\.mlp\.fc1\.", ".ffn.up."),
    (r"\.mlp\.fc2\.", ".ffn.down."),
    *_DEIT_BLOCK,
)
_NEVER_ADDED = "a table of positions that the released code never adds"


def _classifier(shapes: Shapes) -> dict[str, Any]:
    return dict(out_type="cls_token" if "cls_token" in shapes else "avg_featmap", img_size=224)


def _dense_mae(shapes: Shapes) -> dict[str, Any]:
    depth, side = shapes.count("blocks"), shapes.side("pos_embed") or 14
    task = dict(out_type="featmap") | DENSE_TASKS.get((side, depth), {})
    summed = [i for i in range(depth) if f"blocks.{i}.attn.summary.weight" in shapes]
    if summed:
        task["window"] = dict(size=14, global_blocks=tuple(summed))
    return task | _image_size(shapes, side)


def _dense_pyramid(shapes: Shapes) -> dict[str, Any]:
    without = {} if "norms.0.weight" in shapes else dict(out_norm="none")
    return dict(out_type="featmap", out_indices=(0, 1, 2, 3), img_size=224) | without


def _image_size(shapes: Shapes, side: int) -> dict[str, Any]:
    return dict(img_size=side * shapes.of("patch_embed.projection.weight", 4)[-1])


def _denoiser(about: str, asked: bool = True) -> Family:
    return Family(
        about=about,
        asked=asked,
        has=("x_embedder.proj.weight", "t_embedder.mlp.0.weight", "final_layer.linear.weight"),
        type="mmvisionllama.DiT",
        renames=_DIT,
        sizes=dit_sizes,
        task=lambda shapes: {},
        rope=None,
        unused={"pos_embed": "a fixed table of positions: LLaMA's never adds it, ViT's is computed"},
    )


FAMILIES = {
    "plain": Family(
        about="plain classifiers S, B and L, with a class token or mean pooling",
        has=("patch_embed.proj.weight", "blocks.0.mlp.c_fc1.weight", "norm.weight"),
        renames=(*_PLAIN, (r"^norm\.", "norms.all.")),
        task=_classifier,
    ),
    "plain_dense": Family(
        about="plain backbones for dense tasks, after supervised pre-training",
        has=("patch_embed.proj.weight", "blocks.0.mlp.c_fc1.weight"),
        lacks=("norm.weight",),
        renames=_PLAIN,
        task=lambda shapes: dict(out_type="featmap", with_cls_token="cls_token" in shapes, img_size=224),
    ),
    "pyramid": Family(
        about="pyramid classifiers S, B and L",
        has=("patch_embeds.0.proj.weight", "blocks.0.0.mlp.c_fc1.weight", "norm.weight"),
        type="mmvisionllama.PyramidVisionLLaMA",
        renames=(*_PYRAMID, (r"^norm\.", "norms.last.")),
        sizes=pyramid_sizes,
        task=lambda shapes: dict(out_type="avg_featmap", img_size=224),
    ),
    "pyramid_dense": Family(
        about="pyramid backbones of segmentors and detectors S, B and L, their outputs with norms or without",
        has=("patch_embeds.0.proj.weight", "blocks.0.0.mlp.c_fc1.weight"),
        lacks=("norm.weight",),
        type="mmvisionllama.PyramidVisionLLaMA",
        renames=(*_PYRAMID, (r"^norm_list\.", "norms.")),
        sizes=pyramid_sizes,
        task=_dense_pyramid,
        rope="AS2DRoPE",
    ),
    "mae": Family(
        about="masked autoencoders B and L, encoder and decoder",
        has=("layers.0.ffn.w12.weight", "neck.decoder_embed.weight"),
        type="mmvisionllama.MAEVisionLLaMA",
        renames=(*_MAE, (r"^ln1\.", "norm.")),
        task=lambda shapes: _image_size(shapes, shapes.side("pos_embed", extra=1) or 14),
        unused={"pos_embed": _NEVER_ADDED},
    ),
    "mae_classifier": Family(
        about="classifiers B and L fine-tuned or probed after MAE",
        has=("layers.0.ffn.w12.weight", "ln2.weight"),
        lacks=("neck.decoder_embed.weight",),
        renames=(*_MAE, (r"^ln1\.", "norms.last."), (r"^ln2\.", "norms.all.")),
        task=lambda shapes: (
            dict(out_type="avg_featmap") | _image_size(shapes, shapes.side("pos_embed") or 14)
        ),
        unused={"pos_embed": _NEVER_ADDED},
    ),
    "mae_dense": Family(
        about="backbones of segmentors and detectors (ViTDet) after MAE",
        has=("layers.0.ffn.w12.weight",),
        lacks=("ln2.weight", "neck.decoder_embed.weight"),
        renames=(*_MAE, (r"^ln1\.", "norms.all.")),
        task=_dense_mae,
        unused={"pos_embed": _NEVER_ADDED},
    ),
    "denoiser": _denoiser(
        "a network of DiT or SiT, LLaMA's or ViT's, without what it is trained for", asked=False
    ),
    "dit": _denoiser("DiT-LLaMA and DiT, to be asked for: their weights have the names of SiT's"),
    "sit": _denoiser("SiT-LLaMA and SiT, to be asked for: their weights have the names of DiT's"),
    **ROTARY_FAMILY,
}


def backbone_config(name: str, shapes: Shapes, known: Mapping[str, Any]) -> dict[str, Any]:
    """Make the config of a family's backbone from its shapes, by our names, and what the caller knows."""
    family = FAMILIES[name]
    sizes = family.sizes(shapes, known)
    known = {key: value for key, value in known.items() if key != "num_heads"}
    rope = (known.get("rope") or {}).get("type") or family.rope
    cfg = dict(type=family.type)
    if family.rope:
        cfg["rope"] = dict(type=rope.removeprefix("mmvisionllama."))
    for part in (sizes, family.task(shapes), known):
        cfg = merge(cfg, part)
    for option in quirks_of(name, shapes):
        cfg = with_quirk(cfg, option)
    return merge(cfg, known)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, dicts inside each other merged likewise."""
    both = {
        key: merge(base[key], value)
        for key, value in over.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
    }
    return {**base, **over, **both}


def with_quirk(cfg: dict[str, Any], option: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a quirk's option, unless it is about a part that the model lacks or has of another type."""
    for key, value in option.items():
        if isinstance(value, Mapping):
            part = cfg.get(key)
            if not isinstance(part, Mapping) or value.get("type", part.get("type")) != part.get("type"):
                return cfg
    return merge(cfg, option)
