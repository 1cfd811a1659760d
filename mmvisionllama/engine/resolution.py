"""One classifier at many image sizes, with positions of several kinds (VisionLLaMA, Tab. 11 and 12)."""

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

from mmvisionllama.checkpoint import check_exact, make_mmengine_read_safely
from mmvisionllama.config import ConfigError
from mmvisionllama.datasets.checks import require_sound_data
from mmvisionllama.engine.preflight import build_model, size_check_of
from mmvisionllama.names import did_you_mean

Size = tuple[int, int]  # height, width in pixels
# Models trained with these can be evaluated with one another's positions, others with their own alone.
_ALIKE = ("AS2DRoPE", "RoPE2D", "NTKRoPE2D")
_OWN_OPTIONS = {
    "AS2DRoPE": ("anchor", "scale_side"),
    "RoPE2D": (),
    "NTKRoPE2D": ("alpha", "queries_only"),
    "RoPE1D": (),
}
# Five colours and six markers: thirty curves before two look alike.
_COLOURS = ("#2a7fba", "#d1495b", "#3a9d5d", "#8e5ea2", "#c98a1b")
_MARKERS = ("o", "s", "D", "^", "v", "P")


@dataclass(frozen=True)
class Positions:
    """A kind of rotary positions to evaluate with; ``alpha`` is the factor on the base of NTKRoPE2D."""

    type: str
    alpha: float | None = None

    def __str__(self) -> str:
        return self.type if self.alpha is None else f"{self.type}:{self.alpha:g}"

    def rope(self, trained: dict[str, Any]) -> dict[str, Any]:
        """Give the config of these positions for a model that was trained with others."""
        foreign = {key for keys in _OWN_OPTIONS.values() for key in keys} - {*_OWN_OPTIONS[self.type]}
        kept = {key: value for key, value in trained.items() if key not in foreign}
        return kept | dict(type=self.type) | ({} if self.alpha is None else dict(alpha=self.alpha))


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
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ConfigError(f"a size is a side or HEIGHTxWIDTH in pixels, got {text!r}")
    return int(sides[0]), int(sides[-1])


def parse_positions(text: str) -> Positions:
    """Read ``AS2DRoPE``, ``RoPE2D``, ``RoPE1D`` or ``NTKRoPE2D:5`` (the factor on the base).

    Raises:
        ConfigError: for anything else.
    """
    name, colon, alpha = text.partition(":")
    if name not in _OWN_OPTIONS:
        hint = did_you_mean(name, _OWN_OPTIONS)
        allowed = "AS2DRoPE, RoPE2D, RoPE1D, NTKRoPE2D:ALPHA"
        raise ConfigError(f"unknown positions {name!r}.{hint} Allowed: {allowed}")
    if name != "NTKRoPE2D":
        if colon:
            raise ConfigError(f"positions {text!r}: {name} takes no number, only NTKRoPE2D:ALPHA does")
        return Positions(name)
    try:
        number = float(alpha)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"positions {text!r}: NTKRoPE2D needs a factor above 0, as in NTKRoPE2D:5")
    return Positions(name, number)


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
        ConfigError: if the model's positions are not two-dimensional rotary ones, a size is below a patch, or
            the data do not fit.
        CheckpointError: if the checkpoint is of another model.
    """
    make_mmengine_read_safely()
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
    cfg = copy.deepcopy(cfg)
    backbone = cfg.model.backbone
    rope: dict[str, Any] | None = backbone.get("rope", dict(type="AS2DRoPE"))
    if not str(cfg.model.type).endswith("ImageClassifier"):
        raise ConfigError(f"{cfg.filename}: a sweep is of an ImageClassifier, this is {cfg.model.type}")
    if not str(backbone.type).endswith("VisionLLaMA") or not rope:
        raise ConfigError(
            f"{cfg.filename}: a sweep is of a VisionLLaMA with rotary positions; the backbone is "
            f"{backbone.type} with rope={rope}"
        )
    trained = rope["type"].removeprefix("mmvisionllama.")
    if positions.type != trained and not {positions.type, trained} <= set(_ALIKE):
        raise ConfigError(
            f"{cfg.filename}: the model was trained with {trained}, so {positions} says nothing of it; give "
            f"--positions {' or '.join(_ALIKE if trained in _ALIKE else [trained])}"
        )
    backbone.rope = positions.rope(rope)
    model = build_model(cfg)
    check_exact(model, checkpoint)
    load_checkpoint(model, checkpoint, map_location="cpu", strict=True, logger="silent")
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
