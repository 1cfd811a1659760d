"""Networks as an exported file has them: colours of 0 to 255 in, raw outputs out."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvisionllama.errors import ExportError
from mmvisionllama.inference.input_images import open_images
from mmvisionllama.inference.proposals import proposal_facts
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.models.grids import Grid


@dataclass(frozen=True)
class ExportNetwork:
    """What is exported of a model.

    Attributes:
        module: Takes ``inputs`` and returns ``outputs``, tuples of tensors.
        reference: Computes the same by the model's own layers.
        channels: Of the first input, (B, channels, height, width).
        hw: Sides of the training's images or latents.
        step: Sides are a multiple of it.
        facts: About the outputs, for JSON.
    """

    module: nn.Module
    reference: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    channels: int
    hw: Grid
    step: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)

    def example(self, batch: int, hw: Grid) -> tuple[Tensor, ...]:
        """Make an input of noise, the same at each call."""
        noise = torch.Generator().manual_seed(0)
        x = torch.rand(batch, self.channels, *hw, generator=noise)
        if self.inputs == ("image",):
            return (x * 255,)
        classes = self.facts["num_classes"]
        return x * 2 - 1, torch.rand(batch, generator=noise), torch.arange(batch) % classes


def export_network(model: TrainedModel, *, backbone: bool = False) -> ExportNetwork:
    """Return what is exported of a model.

    Args:
        backbone: The backbone's maps or tokens, in the place of the task's outputs.
    Raises: ExportError: if there is no such network.
    """
    if model.task == "generation":
        if backbone:
            raise ExportError(f"{model.source} is a generator, which has no backbone: leave --backbone out")
        return _of_generator(model)
    kind = _Backbone if backbone else _KINDS[model.task]
    body = kind(model.module)
    normalise, hw = normalisation(model)
    reference = _WithColours(normalise, body).eval()
    channels = normalise.channels
    with torch.no_grad():
        count = len(reference(torch.zeros(1, channels, *hw)))
    outputs, facts = kind.names(count), {}
    if model.task == "detection" and not backbone:
        facts = {"proposals": proposal_facts(model.module.rpn_head)}
    module = _with_plain_pooling(copy.deepcopy(reference))
    return ExportNetwork(module, reference, ("image",), outputs, channels, hw, facts=facts)


def _of_generator(model: TrainedModel) -> ExportNetwork:
    network = model.module.network
    body = _Generator(network)
    facts = {"num_classes": network.num_classes, "null_label": network.null_label}
    sizes = dict(channels=network.in_channels, hw=network.input_hw, step=network.patch_size)
    return ExportNetwork(body, body, ("x", "time", "label"), ("prediction",), **sizes, facts=facts)


class _Body(nn.Module):
    """A part of a model that returns a tuple of tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @staticmethod
    def names(count: int) -> tuple[str, ...]:
        """Name the outputs."""
        return tuple(f"features_{i}" for i in range(count))


class _Backbone(_Body):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.backbone(x))


class _Encoder(_Body):
    """MAE's encoder over all patches."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.backbone(x, mask=None))


class _Classifier(_Body):
    @staticmethod
    def names(count: int) -> tuple[str, ...]:
        return ("logits",)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.model(x, mode="tensor"),)


class _Segmentor(_Classifier):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits = self.model(x, mode="tensor")
        corners = self.model.align_corners
        return (F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=corners),)


class _Detector(_Body):
    """Maps, scores and offsets of boxes of every level; ``proposals.decode_proposals`` reads the last two."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        if not hasattr(model, "rpn_head"):
            raise ExportError(f"a {type(model).__name__} has no RPN: only two-stage detectors are exported")

    @staticmethod
    def names(count: int) -> tuple[str, ...]:
        levels = range(count // 3)
        return tuple(f"{name}_{i}" for name in ("map", "score", "offset") for i in levels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.extract_feat(x)
        scores, offsets = self.model.rpn_head(maps)
        return (*maps, *scores, *offsets)


class _Generator(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        return (self.network(x, time, label),)


_KINDS: dict[str, type[_Body]] = {
    "classification": _Classifier,
    "segmentation": _Segmentor,
    "detection": _Detector,
    "reconstruction": _Encoder,
}


class Normalise(nn.Module):
    """Bring RGB or grey of 0 to 255 to what the training saw."""

    def __init__(self, order: list[int], scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.channels, self.swaps = len(order), order != sorted(order)
        self.register_buffer("scale", scale.float()[:, None, None])
        self.register_buffer("shift", shift.float()[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        x = image.flip(1) if self.swaps else image
        return x * self.scale + self.shift

    def undone(self, x: Tensor) -> Tensor:
        """Return the image, uint8, that became ``x``."""
        image = ((x - self.shift) / self.scale).round().clamp(0, 255).to(torch.uint8)
        return image.flip(1) if self.swaps else image


class _WithColours(nn.Module):
    def __init__(self, normalise: Normalise, body: nn.Module) -> None:
        super().__init__()
        self.normalise, self.body = normalise, body

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.body(self.normalise(image))


def normalisation(model: TrainedModel) -> tuple[Normalise, Grid]:
    """Read from images of one colour how the training's test brings colours to the model."""
    hw = getattr(model.module.backbone, "img_hw", (224, 224))

    def seen(*colour: int) -> Tensor:
        image = np.tile(np.uint8(colour), (*hw, 1))
        prepared = model.preparation(open_images(image)[0])
        x = model.module.data_preprocessor(model.preparation.batch([prepared]), False)["inputs"]
        return x[0, :, x.shape[2] // 4, x.shape[3] // 4].double().cpu()

    black = seen(0, 0, 0)
    channels = len(black)
    colours = [(255, 255, 255)] if channels == 1 else [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    slope = torch.stack([seen(*colour) - black for colour in colours], dim=1) / 255
    order = slope.abs().argmax(dim=1).tolist()
    scale = slope.gather(1, torch.tensor(order)[:, None])[:, 0]
    only_scaled = torch.zeros_like(slope).scatter(1, torch.tensor(order)[:, None], scale[:, None])
    if sorted(order) != list(range(len(colours))) or not torch.equal(slope, only_scaled):
        raise ExportError(f"{model.source}: its transforms mix colours, which an export does not do")
    return Normalise(order, scale, black), hw


class MeanPool(nn.Module):
    """``nn.AdaptiveAvgPool2d`` by two products of matrices, which graphs with free sides can hold."""

    def __init__(self, sides: Grid) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        rows, cols = (_shares(n, k, x) for n, k in zip(x.shape[2:], self.sides, strict=True))
        return rows @ x @ cols.transpose(0, 1)


def _shares(length: int, count: int, like: Tensor) -> Tensor:
    """Give the share of each of ``length`` places in each of ``count`` means."""
    bin_K1 = torch.arange(count, device=like.device)[:, None]
    first, end = bin_K1 * length // count, ((bin_K1 + 1) * length + count - 1) // count
    place_L = torch.arange(length, device=like.device)
    return ((place_L >= first) & (place_L < end)).to(like.dtype) / (end - first)


def _with_plain_pooling(module: nn.Module) -> nn.Module:
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                sides = child.output_size
                setattr(parent, name, MeanPool(sides if isinstance(sides, tuple) else (sides, sides)))
    return module
