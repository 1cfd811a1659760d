"""Attention of every head of a block over an image, from one token or from all on average."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn

from mmvisionllama.errors import InputError
from mmvisionllama.inference.attention_rollout import Rollout
from mmvisionllama.inference.attention_weights import attention_weights
from mmvisionllama.inference.export_networks import normalisation
from mmvisionllama.inference.input_images import open_images
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.models.attention import RotaryAttention, SubsampledAttention, WindowAttention
from mmvisionllama.models.backbone import RotaryBackbone
from mmvisionllama.models.grids import Grid, squares
from mmvisionllama.models.layers import VisionLLaMABlock
from mmvisionllama.models.rope import Tables
from mmvisionllama.reports.figures import heat_over, image_grid, shown_size
from mmvisionllama.suggestions import did_you_mean, shortened

Query = Grid | Literal["class", "mean"]
_CHUNK = 256  # tokens whose weights are computed at once


@dataclass(frozen=True, eq=False)
class HeadMaps:
    """What the heads of a block take of each place of an image.

    Attributes:
        image: (H, W, 3) or (H, W), uint8, RGB: what the model saw.
        block: Its path in the backbone.
        kind: What its attention is.
        query: The token (row, column) that attends, ``class``, or ``mean`` of all.
        maps: (heads, rows, columns) of keys, float32; the rest of a head's sum of 1 is that of the class
            token, of registers, or of padding which is not hidden.
        class_shares: (heads,): what each takes of the class token; zeros without one.
        cell: Height and width of a key in pixels.
        token: Height and width of a token in pixels.
    """

    image: NDArray
    block: str
    kind: str
    query: Query
    maps: NDArray
    class_shares: NDArray
    cell: Grid
    token: Grid

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        query = list(self.query) if isinstance(self.query, tuple) else self.query
        maps = {"maps": self.maps.tolist(), "class_shares": self.class_shares.tolist()}
        return {"block": self.block, "kind": self.kind, "query": query, **maps}


def head_maps(
    model: TrainedModel, image: Any, *, block: str | None = None, query: Query | None = None
) -> HeadMaps:
    """Recompute the attention of a block from its queries and keys, as the fused operator keeps none.

    Args:
        image: One, see ``TrainedModel.predict``.
        block: Path in the backbone, e.g. ``blocks.3`` or ``stages.2.blocks.1``; None: the last one.
        query: Row and column of a token; ``class``; ``mean``: all tokens in the mean. None: the class token,
            or the token in the middle of a model without one.
    Raises: InputError: for a model without such a block or query, or an image that cannot be read.
    """
    backbone = backbone_of(model)
    name = choose_block(backbone, block)
    images_given = open_images(image)
    if len(images_given) != 1:
        raise InputError(f"{image}: attention is drawn over one image, got {len(images_given)}")
    attn: RotaryAttention = backbone.get_submodule(name).attn
    calls: list[tuple[Tensor, Grid, Tables | None]] = []
    images: list[Tensor] = []
    hooks = [
        attn.register_forward_pre_hook(lambda module, inputs: calls.append(inputs)),
        backbone.register_forward_pre_hook(lambda module, inputs: images.append(inputs[0])),
    ]
    try:
        model.features(images_given, batch_size=1)
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        raise InputError(f"--block {name} is not run: no output of the model depends on it")
    x, hw, tables = calls[0]
    extra, with_cls = x.shape[1] - hw[0] * hw[1], getattr(backbone, "with_cls_token", False)
    if extra and isinstance(attn, WindowAttention):
        raise InputError(
            f"--block {name} attends in windows, all of which its class token or registers see: such weights "
            "are not recomputed; take a block that attends to all tokens"
        )
    query = ("class" if with_cls else (hw[0] // 2, hw[1] // 2)) if query is None else query
    with torch.no_grad():
        share_AM = _shares(attn, x, hw, tables, _indices(query, hw, extra, with_cls))
    key_hw = squares(hw, attn.ratio) if isinstance(attn, SubsampledAttention) else hw
    own = share_AM.shape[1] - key_hw[0] * key_hw[1]
    pixels = normalisation(model)[0].undone(images[0].cpu())[0].permute(1, 2, 0).numpy()
    token = _side_of_token(backbone, name)
    ratio = attn.ratio if isinstance(attn, SubsampledAttention) else 1
    return HeadMaps(
        image=pixels.squeeze(),
        block=name,
        kind=_kind(attn),
        query=query,
        maps=share_AM[:, own:].unflatten(1, key_hw).cpu().numpy(),
        class_shares=(share_AM[:, 0] if with_cls else share_AM.new_zeros(len(share_AM))).cpu().numpy(),
        cell=(token * ratio, token * ratio),
        token=(token, token),
    )


def read_query(text: str | None) -> Query | None:
    """Read ``class``, ``mean``, or ``ROW,COLUMN``.

    Raises: InputError: for anything else.
    """
    if text in (None, "class", "mean"):
        return text
    parts = text.split(",")
    if len(parts) != 2 or not all(x.isdecimal() and len(x) <= 6 for x in parts):
        raise InputError(f"--query {text:.40}: expected class, mean, or ROW,COLUMN of a token, e.g. 3,4")
    return int(parts[0]), int(parts[1])


def plot(maps: HeadMaps, rollout: Rollout | None = None) -> Figure:
    """Draw the image with the token that attends, the rollout if there is one, and the map of each head."""
    height, width = maps.image.shape[:2]
    shown = shown_size(height, width)
    panels: list[tuple[str, NDArray | None, Grid]] = [(_asked(maps.query), None, maps.token)]
    if rollout is not None:
        panels.append(("rollout over all blocks", rollout.shares, rollout.patch))
    panels += [(f"head {i}", x, maps.cell) for i, x in enumerate(maps.maps)]
    side = 2.2
    figure, axes = image_grid(len(panels), 6, side, side * shown[1] / shown[0] + 0.3)
    figure.suptitle(f"{maps.block}: {maps.kind}", fontsize="small")
    for ax, (title, heat, cell) in zip(axes, panels, strict=True):
        if heat is None:
            ax.imshow(maps.image, cmap="gray", extent=(0, width, height, 0))
        else:
            heat_over(ax, maps.image, heat, cell)
        if isinstance(maps.query, tuple):
            row, column = (n * side for n, side in zip(maps.query, maps.token, strict=True))
            ax.add_patch(Rectangle((column, row), *maps.token[::-1], fill=False, edgecolor="#39d353", lw=1.5))
        ax.set_title(title, fontsize="small")
    return figure


def backbone_of(model: TrainedModel) -> RotaryBackbone:
    """Return the backbone of this package in a model.

    Raises: InputError: if it has none.
    """
    backbone = getattr(model.module, "backbone", None)
    if backbone is None:
        raise InputError(f"{model.source} generates images, and looks at none")
    if not isinstance(backbone, RotaryBackbone):
        raise InputError(
            f"{model.source} has a {type(backbone).__name__}; attention is recomputed for VisionLLaMA and "
            "PyramidVisionLLaMA alone"
        )
    return backbone


def choose_block(backbone: nn.Module, given: str | None) -> str:
    """Return the path of a block in a backbone; None: of the last one that is run."""
    blocks = [name for name, x in backbone.named_modules() if isinstance(x, VisionLLaMABlock)]
    if given is None:
        last = backbone.out_indices[-1]  # of blocks, or of stages
        return next(x for x in reversed(blocks) if int(x.split(".")[1]) == last)
    if given in blocks:
        return given
    raise InputError(
        f"--block {given}: no such block.{did_you_mean(given, blocks)} Blocks are {shortened(blocks)}"
    )


def _shares(attn: RotaryAttention, x: Tensor, hw: Grid, tables: Tables | None, query_Q: Tensor) -> Tensor:
    """Return the mean over queries of what each head takes of each key, (A, M)."""
    total_AM = 0.0
    for some_Q in query_Q.to(x.device).split(_CHUNK):
        total_AM = total_AM + attention_weights(attn, x, hw, tables, some_Q)[0].sum(dim=1)
    return total_AM / len(query_Q)


def _indices(query: Query, hw: Grid, first: int, with_cls: bool) -> Tensor:
    if query == "mean":
        return torch.arange(first, first + hw[0] * hw[1])
    if query == "class":
        if not with_cls:
            raise InputError(
                "--query class: the model has no class token; give mean, or ROW,COLUMN of a token"
            )
        return torch.zeros(1, dtype=torch.long)
    row, column = query
    if not (0 <= row < hw[0] and 0 <= column < hw[1]):
        raise InputError(
            f"--query {row},{column} is outside of the block's {hw[0]} rows and {hw[1]} columns of tokens"
        )
    return torch.tensor([first + row * hw[1] + column])


def _side_of_token(backbone: RotaryBackbone, block: str) -> int:
    """Return the side of a block's token in pixels."""
    if hasattr(backbone, "patch_embed"):
        return backbone.patch_embed.projection.stride[0]
    stages = backbone.stages[: int(block.split(".")[1]) + 1]
    return int(torch.tensor([x.patch_embed.projection.stride[0] for x in stages]).prod())


def _kind(attn: RotaryAttention) -> str:
    if isinstance(attn, WindowAttention):
        side = attn.window_size
        return f"attention in windows of {side} x {side} tokens"
    if isinstance(attn, SubsampledAttention) and attn.ratio > 1:
        return f"attention to summaries of {attn.ratio} x {attn.ratio} tokens"
    return "attention to all tokens"


def _asked(query: Query) -> str:
    names: dict[Any, str] = {"class": "the class token attends", "mean": "mean of all tokens"}
    return names.get(query) or f"the token at row {query[0]}, column {query[1]}"


def strongest(maps: HeadMaps) -> Sequence[tuple[int, float, Grid]]:
    """Return for each head the largest weight of a key and its place (row, column)."""
    places = [divmod(int(x.argmax()), x.shape[1]) for x in maps.maps]
    return [(i, float(maps.maps[i][place]), place) for i, place in enumerate(places)]
