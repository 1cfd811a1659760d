"""Parameters and multiply-accumulates of a network by its parts, counted on the meta device."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmvisionllama.analysis.networks import Network
from mmvisionllama.analysis.parts import blocks_in, part_of
from mmvisionllama.models.grids import Grid

KINDS = ("attention", "feed-forward", "other")
_COLOURS = ("#4b86c2", "#e0a13c", "#9aa5b1")
_CHILDREN = {"attn": "attention", "ffn": "feed-forward"}  # of a block


@dataclass(frozen=True)
class Part:
    """What a part of a network has and computes for one image.

    Attributes:
        name: Its path in the model.
        parameters, macs: By kind, see ``KINDS``; what is no block has ``other`` alone.
    """

    name: str
    parameters: Mapping[str, int]
    macs: Mapping[str, int]

    @property
    def all_parameters(self) -> int:
        """Parameters of every kind."""
        return sum(self.parameters.values())

    @property
    def all_macs(self) -> int:
        """Multiply-accumulates of every kind."""
        return sum(self.macs.values())


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass of a test for one image, or of one evaluation of a generator's network.

    Attributes:
        hw: Height and width of the image in pixels, or of the input of a generator's network.
        note: What the pass consists of beside the image; "" if there is nothing to say.
    """

    name: str
    hw: Grid
    parts: Sequence[Part]
    note: str = ""

    @property
    def parameters(self) -> int:
        """All parameters, trained or not."""
        return sum(x.all_parameters for x in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of matrix products and convolutions, half the FLOPs."""
        return sum(x.all_macs for x in self.parts)

    def rows(self) -> list[tuple[str, int, Part]]:
        """Return the parts for a table: like neighbours as one, with their number and the first of them."""
        rows: list[tuple[str, int, Part]] = []
        for part in self.parts:
            if rows and _are_alike(rows[-1][2], part):
                first = rows[-1][2]
                rows[-1] = (f"{first.name} .. {part.name.rpartition('.')[2]}", rows[-1][1] + 1, first)
            else:
                rows.append((part.name, 1, part))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        parts = [{"name": x.name, "parameters": {**x.parameters}, "macs": {**x.macs}} for x in self.parts]
        told = {"model": self.name, "height": self.hw[0], "width": self.hw[1], "note": self.note}
        return {**told, "parameters": self.parameters, "macs": self.macs, "parts": parts}

    def plot(self) -> Figure:
        """Draw a bar for each part, the first at the top, divided by kind; parameters beside it."""
        figure = Figure(figsize=(9, 1.4 + 0.24 * len(self.parts)), dpi=100, layout="constrained")
        axes = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
        height, width = self.hw
        figure.suptitle(f"{self.name}, {height} x {width}", fontsize="medium")
        places = range(len(self.parts))
        for ax, unit, scale, values, total in (
            (axes[0], "10^9 MACs", 1e9, [x.macs for x in self.parts], self.macs),
            (axes[1], "10^6 parameters", 1e6, [x.parameters for x in self.parts], self.parameters),
        ):
            left = [0.0] * len(self.parts)
            for kind, colour in zip(KINDS, _COLOURS, strict=True):
                share = [x.get(kind, 0) / scale for x in values]
                ax.barh(places, share, left=left, color=colour, label=kind)
                left = [a + b for a, b in zip(left, share, strict=True)]
            ax.set(xlabel=unit, title=f"{total / scale:.4g} in all")
            ax.set_xlim(0, 1.04 * max(left))
            ax.grid(axis="x", alpha=0.3)
        axes[0].set_yticks(places, [x.name for x in self.parts], fontsize="small")
        axes[0].set_ylim(len(self.parts) - 0.5, -0.5)
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small"
        )
        return figure


def cost_of(network: Network, hw: Grid | None = None) -> Cost:
    """Count what one image costs in a test.

    Counted are matrix products and convolutions, those of attention included, whatever operator computes
    them; not counted are norms, activations, softmax, rotations and sampling, which compute per number.

    Args:
        hw: Height and width in pixels, of a generator's input in its own unit; None: those of the training.
    Raises: InputError, ArgumentError: if the network takes no such size.
    """
    hw = hw or network.train_hw
    network.require_size(hw)
    x = torch.empty(1, network.channels, *hw, device="meta")
    with torch.no_grad():
        own, note = _own_flops(network.module, lambda: _forward(network.module, x))
    return Cost(network.name, hw, list(_parts(network.module, own)), note)


def detector_outputs(model: nn.Module, x: Tensor, boxes: int, masks: int) -> Iterator[Tensor]:
    """Yield all raw outputs of a detector, whose second stage sees so many regions, of any contents.

    Args:
        boxes, masks: Regions of the heads of boxes and of masks, of all images.
    """
    maps = model.extract_feat(x)
    for some in model.rpn_head(maps) if hasattr(model, "rpn_head") else model.bbox_head(maps):
        yield from some
    for head, extractor, count in _second_stage(model, boxes, masks):
        size = extractor.roi_layers[0].output_size
        region = torch.empty(count, maps[0].shape[1], *size, device=x.device)
        found = head(region.requires_grad_(torch.is_grad_enabled()))
        yield from found if isinstance(found, tuple) else (found,)


def _second_stage(model: nn.Module, boxes: int, masks: int) -> Iterator[tuple[nn.Module, nn.Module, int]]:
    heads = getattr(model, "roi_head", None)
    for kind, count in (("bbox", boxes), ("mask", masks)):
        if getattr(heads, f"with_{kind}", False):
            head, extractor = (getattr(heads, f"{kind}_{x}") for x in ("head", "roi_extractor"))
            several = isinstance(head, nn.ModuleList)  # of a cascade
            pairs = zip(head, extractor, strict=True) if several else [(head, extractor)]
            yield from ((one, other, count) for one, other in pairs)


def _forward(model: nn.Module, x: Tensor) -> str:
    """Compute what a test computes of an image, and return a note about what this consists of."""
    if hasattr(model, "network"):
        label_B = torch.zeros(len(x), dtype=torch.long, device=x.device)
        model.network(x, torch.zeros(len(x), device=x.device), label_B)
        return "one evaluation of the network, without guidance"
    if hasattr(model, "rpn_head") or hasattr(model, "bbox_head"):
        boxes = masks = 0
        if hasattr(model, "roi_head"):
            boxes, masks = model.test_cfg.rpn.max_per_img, model.test_cfg.rcnn.max_per_img
        list(detector_outputs(model, x, boxes, masks))
        seen = f"the head of boxes sees {boxes:,} regions" if boxes else ""
        return f"{seen}, that of masks {masks:,}" if boxes and model.roi_head.with_mask else seen
    if hasattr(model, "neck") and hasattr(model.backbone, "mask_ratio"):
        latent, _, restore_BN = model.backbone(x)
        model.neck(latent, restore_BN)
        return f"the encoder sees {1 - model.backbone.mask_ratio:.0%} of the patches, as in the training"
    if hasattr(model, "data_preprocessor"):
        model(x, mode="tensor")
    else:
        model(x)
    return ""


def _own_flops(model: nn.Module, forward: Callable[[], str]) -> tuple[dict[str, int], str]:
    """Return the FLOPs of every module without those of modules that it calls, by path, and the note.

    The model itself has those of no module, under an empty path.
    """
    own: dict[str, int] = defaultdict(int)
    running: list[list[int]] = []  # modules: the count at the start, and what is not their own
    hooks = []

    def enter(module: nn.Module, inputs: Any) -> None:
        running.append([counter.get_total_flops(), 0])

    def leave(name: str, module: nn.Module, inputs: Any, outputs: Any) -> None:
        start, inside = running.pop()
        spent = counter.get_total_flops() - start
        own[name] += spent - inside
        if running:
            running[-1][1] += spent

    for name, module in model.named_modules():
        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(partial(leave, name))]
    try:
        with FlopCounterMode(display=False) as counter:
            note = forward()
    finally:
        for hook in hooks:
            hook.remove()
    own[""] += counter.get_total_flops() - sum(own.values())
    return own, note


@dataclass
class _Sums:
    parameters: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    macs: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def _parts(model: nn.Module, own: Mapping[str, int]) -> Iterator[Part]:
    """Yield the parts of a model in the order in which it names them."""
    modules = dict(model.named_modules())
    blocks = blocks_in(model)
    sums: dict[str, _Sums] = {}
    for name, module in modules.items():
        part, child = part_of(name, blocks)
        kind = _CHILDREN.get(child, "other")
        found = sums.setdefault(part, _Sums())
        found.parameters[kind] += sum(x.numel() for x in module.parameters(recurse=False))
        found.macs[kind] += own.get(name, 0) // 2
    for name, found in sums.items():
        if sum(found.parameters.values()) or sum(found.macs.values()):
            yield Part(name, dict(found.parameters), dict(found.macs))


def _are_alike(one: Part, other: Part) -> bool:
    same_list = one.name.rpartition(".")[0] == other.name.rpartition(".")[0]
    numbered = one.name.rpartition(".")[2].isdigit() and other.name.rpartition(".")[2].isdigit()
    return same_list and numbered and one.macs == other.macs and one.parameters == other.parameters


@torch.no_grad()
def flops_of(function: Callable[[], Any]) -> int:
    """Count the FLOPs of a function, two for a multiplication with its addition."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
