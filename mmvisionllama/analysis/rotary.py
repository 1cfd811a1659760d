"""Rotary positions: wavelengths against distances, and the fall of scores at several sizes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mmvisionllama.analysis.networks import Network
from mmvisionllama.errors import InputError
from mmvisionllama.models.grids import Grid, grid_positions, squares
from mmvisionllama.models.pyramid import STRIDES
from mmvisionllama.models.rope import NTKRoPE2D, RoPE2D, Scale

_DASHES = ("--", ":", "-.", "-")
_ACROSS, _DOWN = "#2f6fb0", "#c2542d"


@dataclass(frozen=True, eq=False)
class AtSize:
    """Rotary positions of a grid.

    Attributes:
        pixels: Height and width of the image, of a generator its input.
        scale: Factor on all positions; of the longer side, where each side has its own.
        across, down: Mean cosine of all pairs between a token and those to its right, or below it: the score
            of a query and a key that are the same in every pair, over that of no distance.
        score: (rows, columns): the same between the token in the middle and every token.
    """

    pixels: Grid
    hw: Grid
    scale: float
    across: NDArray
    down: NDArray
    score: NDArray


@dataclass(frozen=True, eq=False)
class Rotary:
    """Rotary positions of a network, or of one stage.

    Attributes:
        name: ``blocks`` or ``stage 0`` and so on.
        kind: The component with its settings.
        waves_across, waves_down: Wavelength of every pair in tokens at a scale of 1; infinite where a pair
            does not look in that direction.
        sizes: The training's first.
    """

    name: str
    kind: str
    waves_across: NDArray
    waves_down: NDArray
    sizes: Sequence[AtSize]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON; an infinite wavelength is null."""
        sizes = [
            {
                "pixels": list(x.pixels),
                "tokens": list(x.hw),
                "scale": x.scale,
                "score_across": x.across.tolist(),
                "score_down": x.down.tolist(),
            }
            for x in self.sizes
        ]
        waves = {"waves_across": self.waves_across.tolist(), "waves_down": self.waves_down.tolist()}
        return {"name": self.name, "kind": self.kind, **waves, "sizes": sizes}

    def seen(self, at: AtSize) -> tuple[int, int]:
        """Return how many pairs turn at least once over the longer side of a grid, and how many there are."""
        waves = np.minimum(self.waves_across, self.waves_down) / at.scale
        return int((waves <= max(at.hw)).sum()), len(waves)


def rotary_of(network: Network, sizes: Sequence[Grid] = ()) -> list[Rotary]:
    """Describe the rotary positions of a network, stage by stage.

    Args:
        sizes: Heights and widths of other images than the training's.
    Raises: InputError: if it has none, or takes no such size.
    """
    for hw in sizes:
        network.require_size(hw)
    pixels = list(dict.fromkeys([tuple(network.train_hw), *map(tuple, sizes)]))
    found = [_described(name, rope, stride, pixels) for name, rope, stride in _ropes(network)]
    if not found:
        raise InputError(
            f"{network.name} has no rotary positions: {type(network.body).__name__} "
            + ("was built with rope=None" if hasattr(network.body, "rope_cfg") else "has none")
        )
    return found


def _ropes(network: Network) -> Iterator[tuple[str, RoPE2D, int]]:
    """Yield names, components, and sides of a token in pixels."""
    body = network.body
    if hasattr(body, "stages") and hasattr(body, "train_hws"):
        for i, stage in enumerate(body.stages):
            if stage.rope is not None:
                yield f"stage {i}", stage.rope, math.prod(STRIDES[: i + 1])
    elif isinstance(getattr(body, "rope", None), RoPE2D):
        patch = body.patch_size if network.generates else body.patch_embed.projection.stride[0]
        yield "blocks", body.rope, patch


def _described(name: str, rope: RoPE2D, side: int, pixels: Sequence[Grid]) -> Rotary:
    train_hw = squares(pixels[0], side)
    turn_P2 = torch.stack([_angles(rope, torch.tensor([x]), train_hw, 1.0)[0] for x in ((1, 0), (0, 1))])
    waves = (2 * math.pi / turn_P2.abs()).double().numpy()  # infinite at no turn
    sizes = [_at_size(rope, size, squares(size, side), train_hw) for size in pixels]
    return Rotary(name, f"{type(rope).__name__}({rope.extra_repr()})", waves[0], waves[1], sizes)


def _at_size(rope: RoPE2D, pixels: Grid, hw: Grid, train_hw: Grid) -> AtSize:
    scale = rope.scale(hw, train_hw)
    rows, columns = hw
    middle = torch.tensor([[columns // 2, rows // 2]])
    away_N2 = grid_positions(hw) - middle
    line_across = torch.stack((torch.arange(columns), torch.zeros(columns, dtype=torch.long)), dim=-1)
    line_down = torch.stack((torch.zeros(rows, dtype=torch.long), torch.arange(rows)), dim=-1)
    across, down, score = (
        _angles(rope, x, hw, scale).cos().mean(dim=-1).numpy() for x in (line_across, line_down, away_N2)
    )
    told = float(scale[int(rows > columns)] if isinstance(scale, tuple) else scale)
    return AtSize(pixels, hw, told, across, down, score.reshape(rows, columns))


@torch.no_grad()
def _angles(rope: RoPE2D, away_N2: Tensor, hw: Grid, scale: Scale) -> Tensor:
    """Return the angle of every pair of a query at a distance (columns, rows), (N, pairs of all tables)."""
    base = rope.base * (rope.alpha if isinstance(rope, NTKRoPE2D) else 1)
    here, away = (rope.angles(rope.placed(x, scale), hw, base) for x in (away_N2[:1] * 0.0, away_N2.float()))
    return (away - here).movedim(-3, 0).flatten(1)


def plot(name: str, found: Sequence[Rotary]) -> Figure:
    """Draw wavelengths, fall of the score, and scores of the middle token, a row for each stage."""
    figure = Figure(figsize=(13, 3.6 * len(found) + 0.4), dpi=80, layout="constrained")
    figure.suptitle(name, fontsize="medium")
    axes = figure.subplots(len(found), 4, squeeze=False, width_ratios=(1.2, 1.2, 1, 1))
    for row, rotary in zip(axes, found, strict=True):
        _draw_waves(row[0], rotary)
        _draw_fall(row[1], rotary)
        shown = [rotary.sizes[0], rotary.sizes[-1]] if len(rotary.sizes) > 1 else [rotary.sizes[0]]
        least = min(float(at.score.min()) for at in shown)
        for ax, at in zip(row[2:], shown, strict=False):
            drawn = ax.imshow(at.score, cmap="viridis", vmin=least, vmax=1)
            ax.set_title(f"middle token, {_size(at)}", fontsize="small")
            figure.colorbar(drawn, ax=ax, shrink=0.8)
        for ax in row[2 + len(shown) :]:
            ax.set_axis_off()
    return figure


def _draw_waves(ax: Axes, rotary: Rotary) -> None:
    pairs = np.arange(len(rotary.waves_across))
    for waves, colour, label in (
        (rotary.waves_across, _ACROSS, "across"),
        (rotary.waves_down, _DOWN, "down"),
    ):
        known = np.isfinite(waves)
        ax.scatter(pairs[known], waves[known], s=12, color=colour, label=label)
    reach: dict[float, list[str]] = {}
    for at in rotary.sizes:
        reach.setdefault(round(max(at.hw) * at.scale, 3), []).append(_size(at))
    for dash, (length, names) in zip(cycle(_DASHES), reach.items(), strict=False):
        label = "\n".join(("longer side x scale:", *names))
        ax.axhline(length, color="0.4", linewidth=0.9, linestyle=dash, label=label)
    ax.set(yscale="log", xlabel="pair", ylabel="tokens a turn")
    ax.set_title(f"{rotary.name}: {rotary.kind}", fontsize="small")
    ax.legend(fontsize="x-small", loc="upper left")


def _draw_fall(ax: Axes, rotary: Rotary) -> None:
    for i, at in enumerate(rotary.sizes):
        label = f"{_size(at)}, scale {at.scale:.3g}"
        ax.plot(at.across, color=f"C{i}", label=label, linewidth=1.4)
        ax.plot(at.down, color=f"C{i}", linestyle=":", linewidth=1.4)
    ax.grid(alpha=0.3)
    ax.set(xlabel="distance in tokens", ylabel="score")
    ax.set_title("score by distance across (down: dotted)", fontsize="small")
    ax.legend(fontsize="x-small", loc="best")


def _size(at: AtSize) -> str:
    return f"{at.pixels[0]} x {at.pixels[1]} px"
