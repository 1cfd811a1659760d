"""Read the sizes of a network from the names and shapes of its weights."""

from collections.abc import Mapping
from typing import Any

from mmvisionllama.checkpoint.matching import Shape
from mmvisionllama.errors import CheckpointError
from mmvisionllama.models.pyramid import ARCHS as PYRAMID_ARCHS
from mmvisionllama.models.visionllama import ARCHS as PLAIN_ARCHS

# Heads cannot be read off weights. (width, depth): those of every published plain network, DiT and SiT.
HEADS = {
    (192, 12): 3,
    (384, 12): 6,
    (768, 8): 8,
    (768, 12): 12,
    (1024, 24): 16,
    (1152, 28): 16,
    (1280, 32): 16,
    (1408, 40): 16,
    (1536, 40): 24,
}
# Options of the released segmentors and detectors, by (tokens a side, depth).
DENSE_TASKS = {
    (32, 12): dict(out_indices=(3, 5, 7, 11)),
    (32, 24): dict(out_indices=(7, 11, 15, 23)),
    (64, 12): dict(window=dict(size=14, global_blocks=(2, 5, 8, 11))),
}


class Shapes(dict[str, Shape]):
    """A map from the names of weights to their shapes."""

    def of(self, name: str, axes: int) -> Shape:
        """Return a shape; raise a CheckpointError if the weight is missing or has not so many axes."""
        shape = self.get(name)
        if shape is None or len(shape) != axes:
            found = "it is missing" if shape is None else f"it is {shape}"
            raise CheckpointError(f"{name} must be a weight of {axes} axes, {found}")
        return shape

    def count(self, stem: str) -> int:
        """Return how many numbered parts, from 0 on, lie below ``stem``."""
        given = [name[len(stem) + 1 :].partition(".")[0] for name in self if name.startswith(f"{stem}.")]
        return 1 + max((int(x) for x in given if x.isdigit()), default=-1)

    def side(self, name: str, extra: int = 0) -> int | None:
        """Return the side of the square grid whose tokens a table (1, N, D) has, None without the table."""
        if name not in self:
            return None
        tokens = self.of(name, 3)[1] - extra
        side = round(max(tokens, 0) ** 0.5)
        if side < 1 or side**2 != tokens:
            raise CheckpointError(f"{name} {self[name]} is no table of a square grid")
        return side


def plain_sizes(shapes: Shapes, known: Mapping[str, Any]) -> dict[str, Any]:
    """Read the sizes of a plain backbone off its weights, by our names."""
    width, channels, patch, _ = shapes.of("patch_embed.projection.weight", 4)
    depth = shapes.count("blocks")
    heads = heads_of(known, HEADS.get((width, depth)), f"width {width} and depth {depth}")
    arch = dict(embed_dims=width, num_layers=depth, num_heads=heads)
    return dict(
        arch=name_of(arch, PLAIN_ARCHS),
        patch_size=patch,
        in_channels=channels,
        **block_options(shapes, "blocks.0", width),
    )


def pyramid_sizes(shapes: Shapes, known: Mapping[str, Any]) -> dict[str, Any]:
    """Read the sizes of a pyramid off its weights, by our names."""
    stages = range(shapes.count("stages"))
    projections = [shapes.of(f"stages.{i}.patch_embed.projection.weight", 4) for i in stages]
    widths = tuple(shape[0] for shape in projections)
    arch = dict(embed_dims=widths, depths=tuple(shapes.count(f"stages.{i}.blocks") for i in stages))
    released = {x["embed_dims"]: x["num_heads"] for x in PYRAMID_ARCHS.values()}
    heads = heads_of(known, released.get(widths), f"widths {widths}")
    if isinstance(heads, int) or len(heads) != len(widths):
        raise CheckpointError(f"num_heads of a pyramid must be one for each of {widths}, got {heads}")
    arch["num_heads"] = tuple(heads)
    return dict(
        arch=name_of(arch, PYRAMID_ARCHS),
        in_channels=projections[0][1],
        window=dict(size=7),
        **block_options(shapes, "stages.0.blocks.0", widths[0]),
    )


def dit_sizes(shapes: Shapes, known: Mapping[str, Any]) -> dict[str, Any]:
    """Read the sizes of a DiT or SiT network off its weights, by our names."""
    width, channels, patch, _ = shapes.of("patch_embed.weight", 4)
    depth = shapes.count("blocks")
    heads = heads_of(known, HEADS.get((width, depth)), f"width {width} and depth {depth}")
    outputs = shapes.of("head.linear.weight", 2)[0] // patch**2
    dropout = known.get("label_dropout", 0.1)
    ffn = block_options(shapes, "blocks.0", width)["ffn"]
    llama = ffn["type"] == "SwiGLU"
    return dict(
        arch=dict(embed_dims=width, num_layers=depth, num_heads=heads),
        patch_size=patch,
        input_size=(shapes.side("pos_embed") or 32 // patch) * patch,
        in_channels=channels,
        num_classes=shapes.of("label_embed.weight", 2)[0] - (dropout > 0),
        label_dropout=dropout,
        learn_sigma=outputs == 2 * channels,
        block=dict(
            rope=dict() if llama else None,
            pos_embed=None if llama else dict(type="SinCosPosEmbed"),
            ffn=ffn if llama else ffn | dict(approximate="tanh"),
        ),
    )


def block_options(shapes: Shapes, block: str, width: int) -> dict[str, Any]:
    """Read what all blocks have in common off one of them."""
    return dict(
        attn=dict(
            qkv_bias=f"{block}.attn.qkv.bias" in shapes,
            proj_bias=f"{block}.attn.proj.bias" in shapes,
        ),
        ffn=_ffn(shapes, f"{block}.ffn", width),
        layer_scale=1e-4 if f"{block}.gamma1" in shapes else None,
    )


def _ffn(shapes: Shapes, stem: str, width: int) -> dict[str, Any]:
    bias = f"{stem}.down.bias" in shapes
    hidden = shapes.of(f"{stem}.down.weight", 2)[1]
    if f"{stem}.gate.weight" not in shapes and f"{stem}.w12.weight" not in shapes:
        return dict(type="GELUFFN", hidden_dims=hidden, bias=bias)
    rule = -(-int(8 * width / 3) // 256) * 256  # a pyramid's stages differ in width, but follow it
    return dict(type="SwiGLU", bias=bias) | (dict(hidden_dims=hidden) if hidden != rule else {})


def heads_of(known: Mapping[str, Any], published: Any, sizes: str) -> Any:
    """Return the heads that the caller knows, else the published; raise a CheckpointError for neither."""
    heads = known.get("num_heads", published)
    if heads is None:
        raise CheckpointError(f"no published network has {sizes}: give num_heads, which weights do not tell")
    return heads


def name_of(arch: dict[str, Any], archs: Mapping[str, dict]) -> str | dict[str, Any]:
    """Return the name of sizes, the sizes themselves if they have none."""
    return next((name for name, sizes in archs.items() if sizes == arch), arch)
