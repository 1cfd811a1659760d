"""One classifier at many image sizes, with its positions scaled and not (VisionLLaMA, Tab. 11 and 12)."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import EVALUATOR
from mmengine.runner import Runner, load_checkpoint
from torch import nn

from mmvisionllama.checkpoint import check_exact, make_mmengine_read_safely
from mmvisionllama.config import ConfigError
from mmvisionllama.datasets.checks import require_sound_data
from mmvisionllama.engine.preflight import build_model

Size = tuple[int, int]  # height, width in pixels
Positions = Literal["AS2DRoPE", "RoPE2D"]
POSITIONS: tuple[Positions, ...] = ("AS2DRoPE", "RoPE2D")
_ONLY_SCALED = ("anchor", "scale_side")
_STYLE = {"AS2DRoPE": ("#2a7fba", "o", "-"), "RoPE2D": ("#d1495b", "s", "--")}


@dataclass(frozen=True)
class Result:
    """What a model reaches at one size, in the host's metric names."""

    size: Size
    positions: Positions
    metrics: dict[str, float]


def parse_size(text: str) -> Size:
    """Read ``224`` or ``224x320`` (height x width).

    Raises:
        ValueError: for anything else.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError(f"a size is a side or HEIGHTxWIDTH in pixels, got {text!r}")
    return int(sides[0]), int(sides[-1])


def sweep(
    cfg: Config,
    checkpoint: str,
    sizes: Sequence[Size],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Result]:
    """Evaluate a checkpoint at every size, first with auto-scaled positions, then without.

    Args:
        progress: Called with the batches done and in all of the evaluation at hand.

    Raises:
        ConfigError: if the model's positions are not two-dimensional rotary ones, or the data do not fit.
        CheckpointError: if the checkpoint is of another model.
    """
    make_mmengine_read_safely()
    patch = cfg.model.backbone.get("patch_size", 16)
    if small := [label(size) for size in sizes if min(size) < patch]:
        raise ConfigError(f"sizes {', '.join(small)} are smaller than a patch ({patch} px)")
    require_sound_data(cfg, "test_dataloader")
    models = {positions: _model(cfg, positions, checkpoint) for positions in POSITIONS}
    for size in sizes:
        loader_cfg = copy.deepcopy(cfg.test_dataloader)
        loader_cfg.dataset.pipeline = pipeline_at(loader_cfg.dataset.pipeline, size)
        loader = Runner.build_dataloader(loader_cfg, seed=0)
        for positions, model in models.items():
            evaluator = EVALUATOR.build(dict(type="Evaluator", metrics=cfg.test_evaluator))
            evaluator.dataset_meta = loader.dataset.metainfo
            for done, batch in enumerate(loader, start=1):
                evaluator.process(model.test_step(batch), batch)
                progress(done, len(loader))
            yield Result(size, positions, evaluator.evaluate(len(loader.dataset)))


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
    """Draw a metric against the image size, a curve for either kind of positions."""
    sizes = list(dict.fromkeys(result.size for result in results))
    figure = Figure(figsize=(1.5 + 0.8 * max(len(sizes), 5), 3.6), dpi=100, layout="constrained")
    ax = figure.subplots()
    for positions in POSITIONS:
        colour, marker, line = _STYLE[positions]
        values = {x.size: x.metrics[metric] for x in results if x.positions == positions}
        ax.plot(
            [sizes.index(size) for size in values],
            list(values.values()),
            color=colour,
            marker=marker,
            linestyle=line,
            label=positions,
        )
    ax.set_xticks(range(len(sizes)), [label(size) for size in sizes])
    if train_size in sizes:
        ax.axvline(sizes.index(train_size), color="0.7", linewidth=1, zorder=0, label="trained at")
    ax.set(xlabel="image size, px", ylabel=metric)
    ax.grid(alpha=0.3)
    ax.legend()
    return figure


def label(size: Size) -> str:
    """Name a size as users write it."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _model(cfg: Config, positions: Positions, checkpoint: str) -> nn.Module:
    cfg = copy.deepcopy(cfg)
    backbone = cfg.model.backbone
    rope: dict[str, Any] | None = backbone.get("rope", dict(type="AS2DRoPE"))
    if not str(backbone.type).endswith("VisionLLaMA") or not rope or rope["type"] not in POSITIONS:
        raise ConfigError(
            f"{cfg.filename}: a sweep compares AS2DRoPE and RoPE2D; the backbone is "
            f"{backbone.type} with rope={rope}"
        )
    given = {key: value for key, value in rope.items() if key not in ("type", *_ONLY_SCALED)}
    kept = {key: rope[key] for key in _ONLY_SCALED if key in rope and positions == "AS2DRoPE"}
    backbone.rope = dict(type=positions, **given, **kept)
    model = build_model(cfg)
    check_exact(model, checkpoint)
    load_checkpoint(model, checkpoint, map_location="cpu", strict=True, logger="silent")
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
