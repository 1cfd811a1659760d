"""Sweep of a classifier over image sizes and kinds of positions (VisionLLaMA, Tab. 11 and 12)."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import EVALUATOR
from mmengine.runner import Runner, load_checkpoint
from torch import nn

from mmvisionllama.checks.checkpoint import check_exact
from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.checks.run import build_model, size_check_of
from mmvisionllama.errors import ConfigError
from mmvisionllama.registry import MODELS
from mmvisionllama.signatures import accepted_arguments
from mmvisionllama.suggestions import did_you_mean

Size = tuple[int, int]  # height, width in pixels
# Models trained with these can be evaluated with one another's positions, others with their own alone.
_ALIKE = ("AS2DRoPE", "RoPE2D", "NTKRoPE2D")
_TABLES = ("LearnedPosEmbed", "SinCosPosEmbed")  # which the model itself fits to other grids
_LARGEST, _MOST_ALPHA = 100_000, 10**9
_KINDS = (*_ALIKE, "RoPE1D", *_TABLES)
# Five colours and six markers give thirty curves that differ.
_COLOURS = ("#2a7fba", "#d1495b", "#3a9d5d", "#8e5ea2", "#c98a1b")
_MARKERS = ("o", "s", "D", "^", "v", "P")


@dataclass(frozen=True)
class Positions:
    """A kind of positions to evaluate with.

    Attributes:
        alpha: Of NTKRoPE2D, the factor on the base.
        queries_only: Of NTKRoPE2D, leave the keys alone, as the released code does. A model with the
            release's places of keys is always evaluated so.
    """

    type: str
    alpha: float | None = None
    queries_only: bool = False

    def __str__(self) -> str:
        factor = "" if self.alpha is None else f":{self.alpha:g}"
        return f"{self.type}{factor}{':queries' if self.queries_only else ''}"

    def rope(self, trained: dict[str, Any]) -> dict[str, Any]:
        """Give the config of these positions for a model that was trained with others."""
        taken = accepted_arguments(MODELS.get(self.type)).names
        kept = {key: value for key, value in trained.items() if key in taken}
        if self.alpha is None:
            return kept | dict(type=self.type)
        queries_only = self.queries_only or trained.get("key_positions") == "released"
        return (
            kept | dict(type=self.type, alpha=self.alpha) | (dict(queries_only=True) if queries_only else {})
        )


DEFAULT_POSITIONS = (Positions("AS2DRoPE"), Positions("RoPE2D"))


@dataclass(frozen=True)
class Result:
    """What a model reaches at one size, in the host's metric names."""

    size: Size
    positions: Positions
    metrics: dict[str, float]


def parse_size(text: str) -> Size:
    """Read ``224`` or ``224x320`` (height x width).

    Raises:
        ConfigError: for anything else.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(x.isdecimal() and len(x) <= 6 and 0 < int(x) <= _LARGEST for x in sides):
        raise ConfigError(f"a size is a side or HEIGHTxWIDTH in pixels, got {text!r:.60}; 1 to {_LARGEST:,}")
    return int(sides[0]), int(sides[-1])


def parse_positions(text: str) -> Positions:
    """Read a kind of positions by its type, e.g. ``AS2DRoPE``; ``NTKRoPE2D:5`` has the factor on the base,
    ``NTKRoPE2D:5:queries`` that of the queries alone.

    Raises:
        ConfigError: for anything else.
    """
    name, colon, option = text.partition(":")
    alpha, *rest = option.split(":")
    if name not in _KINDS:
        hint = did_you_mean(name, _KINDS)
        types = [kind for kind in _KINDS if kind != "NTKRoPE2D"]
        allowed = ", ".join([*types, "NTKRoPE2D:ALPHA", "NTKRoPE2D:ALPHA:queries"])
        raise ConfigError(f"unknown positions {name!r}.{hint} Allowed: {allowed}")
    if name != "NTKRoPE2D":
        if colon:
            raise ConfigError(f"positions {text!r}: {name} takes no number, only NTKRoPE2D:ALPHA does")
        return Positions(name)
    try:
        number = float(alpha)
    except ValueError:
        number = math.nan
    if not 0 < number < _MOST_ALPHA:
        raise ConfigError(
            f"positions {text!r:.60}: NTKRoPE2D needs a factor above 0 and below {_MOST_ALPHA:,}, as in "
            "NTKRoPE2D:5"
        )
    if rest not in ([], ["queries"]):
        raise ConfigError(f"positions {text!r}: after the factor comes nothing or 'queries'")
    return Positions(name, number, queries_only=bool(rest))


def sweep(
    cfg: Config,
    checkpoint: str,
    sizes: Sequence[Size],
    positions: Sequence[Positions] = DEFAULT_POSITIONS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Result]:
    """Evaluate a checkpoint at every size, with every kind of positions in turn.

    Args:
        progress: Called with the batches done and in all of the evaluation at hand.

    Raises:
        ConfigError: if the model was trained without positions or with others, a size is below a patch, or
            the data do not fit.
        CheckpointError: if the checkpoint is of another model.
    """
    models = {kind: _model(cfg, kind, checkpoint) for kind in positions}
    misfit = size_check_of(models[positions[0]])
    if small := {label(size): reason for size in sizes if (reason := misfit(size))}:
        raise ConfigError(f"sizes {', '.join(small)}: {next(iter(small.values()))}")
    require_sound_data(cfg, "test_dataloader")
    for size in sizes:
        loader_cfg = copy.deepcopy(cfg.test_dataloader)
        loader_cfg.dataset.pipeline = pipeline_at(loader_cfg.dataset.pipeline, size)
        loader = Runner.build_dataloader(loader_cfg, seed=0)
        for kind, model in models.items():
            evaluator = EVALUATOR.build(dict(type="Evaluator", metrics=cfg.test_evaluator))
            evaluator.dataset_meta = loader.dataset.metainfo
            for done, batch in enumerate(loader, start=1):
                with torch.no_grad():
                    outputs = model.test_step(batch)
                evaluator.process(outputs, batch)
                progress(done, len(loader))
            yield Result(size, kind, evaluator.evaluate(len(loader.dataset)))


def pipeline_at(pipeline: Sequence[dict], size: Size) -> list[dict]:
    """Give an evaluation pipeline that ends in images of ``size``, with the share of the edge that it kept.

    The shorter edge is resized to the longer side wanted, over that share; the middle is cut out.
    """
    edge = next((step for step in pipeline if step["type"] == "ResizeEdge"), None)
    crop = next((step for step in pipeline if step["type"] == "CenterCrop"), None)
    kept = crop["crop_size"] / edge["scale"] if edge and crop else 1.0
    resize = dict(type="ResizeEdge", edge="short", backend="pillow", interpolation="bicubic")
    resize |= {**(edge or {}), "scale": round(max(size) / kept)}
    rest = [step for step in pipeline if step["type"] not in ("Resize", "ResizeEdge", "CenterCrop")]
    return [rest[0], resize, dict(type="CenterCrop", crop_size=size[::-1]), *rest[1:]]


def draw_sweep(results: Sequence[Result], metric: str, train_size: Size) -> Figure:
    """Draw a metric against the image size, a curve for each kind of positions.

    Square sizes come first, the smallest at the left; the others follow, and no line leads over to them.
    """
    square, oblong = [], []
    for size in sorted({x.size for x in results}, key=lambda size: (math.prod(size), size)):
        (square if size[0] == size[1] else oblong).append(size)
    sizes = square + oblong
    figure = Figure(figsize=(3.2 + 0.8 * max(len(sizes), 4), 3.6), dpi=100, layout="constrained")
    ax = figure.subplots()
    kinds = dict.fromkeys(x.positions for x in results)
    for kind, colour, marker, line in zip(kinds, cycle(_COLOURS), cycle(_MARKERS), cycle(("-", "--"))):
        values = {x.size: x.metrics[metric] for x in results if x.positions == kind}
        style = dict(color=colour, marker=marker, linestyle=line)
        for part in filter(None, (square, oblong)):
            name = str(kind) if part[0] == sizes[0] else None
            ax.plot([sizes.index(x) for x in part], [values[x] for x in part], label=name, **style)
    ax.set_xticks(range(len(sizes)), [label(size) for size in sizes])
    ax.set_xlim(-0.5, len(sizes) - 0.5)
    if train_size in sizes:
        ax.axvline(sizes.index(train_size), color="0.7", linewidth=1, zorder=0, label="trained at")
    ax.set(xlabel="image size, px", ylabel=metric)
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure


def label(size: Size) -> str:
    """Name a size as users write it."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _model(cfg: Config, positions: Positions, checkpoint: str) -> nn.Module:
    trained_cfg, cfg = cfg, copy.deepcopy(cfg)
    backbone = cfg.model.backbone
    rope: dict[str, Any] | None = backbone.get("rope", dict(type="AS2DRoPE"))
    if not str(cfg.model.type).endswith("ImageClassifier"):
        raise ConfigError(f"{cfg.filename}: a sweep is of an ImageClassifier, this is {cfg.model.type}")
    used = rope or backbone.get("pos_embed")
    if not str(backbone.type).endswith("VisionLLaMA") or not used:
        raise ConfigError(
            f"{cfg.filename}: a sweep is of a VisionLLaMA with positions; the backbone is "
            f"{backbone.type} with rope={rope} and pos_embed={backbone.get('pos_embed')}"
        )
    kind = used["type"].removeprefix("mmvisionllama.")
    if positions.type != kind and not {positions.type, kind} <= set(_ALIKE):
        raise ConfigError(
            f"{cfg.filename}: the model was trained with {kind}, so {positions} says nothing of it; give "
            f"--positions {' or '.join(_ALIKE if kind in _ALIKE else [kind])}"
        )
    if rope:
        backbone.rope = positions.rope(rope)
    model = build_model(cfg)
    check_exact(model, checkpoint, trained_cfg)
    load_checkpoint(model, checkpoint, map_location="cpu", strict=True, logger="silent")
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
