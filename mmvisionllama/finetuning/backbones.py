"""The backbone of a training on own images: by the name of a model, or that of a checkpoint to start from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmvisionllama.checkpoint import kept_model, read_checkpoint
from mmvisionllama.errors import ArgumentError, CheckpointError
from mmvisionllama.inference.model_factory import list_models
from mmvisionllama.inference.sources import checkpoint_file
from mmvisionllama.models.pyramid import ARCHS as PYRAMID_ARCHS
from mmvisionllama.models.visionllama import ARCHS as PLAIN_ARCHS
from mmvisionllama.suggestions import did_you_mean

_TYPES = {"VisionLLaMA": "visionllama", "PyramidVisionLLaMA": "pyramid_visionllama"}
_NOT_TAKEN = ("out_type", "out_indices", "out_norm", "final_norm", "init_cfg", "with_cls_token", "mask_ratio")


@dataclass(frozen=True)
class Backbone:
    """What is known of a backbone before the data are.

    Attributes:
        model: Its name, e.g. ``visionllama_small``.
        arch: Its size, a name or a dict.
        kept: Settings of the checkpoint to start from.
        start: The checkpoint, None for random values.
    """

    model: str
    arch: str | Mapping[str, Any]
    kept: Mapping[str, Any]
    start: Path | None = None

    @property
    def is_pyramid(self) -> bool:
        return self.model.startswith("pyramid_")

    @property
    def is_tiny(self) -> bool:
        """Whether no layer is wider than those of the tiny model, also of a size without a name."""
        tiny = (PYRAMID_ARCHS if self.is_pyramid else PLAIN_ARCHS)["tiny"]
        return np.max(self.sizes["embed_dims"]) <= np.max(tiny["embed_dims"])

    @property
    def type(self) -> str:
        """The registered type."""
        return "mmvisionllama.PyramidVisionLLaMA" if self.is_pyramid else "mmvisionllama.VisionLLaMA"

    @property
    def sizes(self) -> Mapping[str, Any]:
        """Widths, depths and heads."""
        if isinstance(self.arch, Mapping):
            return self.arch
        return (PYRAMID_ARCHS if self.is_pyramid else PLAIN_ARCHS)[self.arch]

    @property
    def title(self) -> str:
        """The name as documents write it."""
        family, _, size = self.model.rpartition("_")
        return f"{'Pyramid ' if family.startswith('pyramid') else ''}VisionLLaMA-{size}"


def choose_backbone(model: str | None, init: str | Path | None, default: str) -> Backbone:
    """Return the backbone of ``model``, or that of the checkpoint ``init``, which must be the same.

    Args:
        model: One of ``list_models()``. None: that of ``init``, else ``default``.
        init: What ``mmvisionllama.load`` takes: a file, a work directory, a name.

    Raises:
        ArgumentError: for an unknown name, or another model than that of the checkpoint.
        CheckpointError: for a checkpoint of another backbone, or one that does not tell its own.
    """
    if model is not None and model not in list_models():
        raise ArgumentError(
            f"--model {model}: no such model.{did_you_mean(model, list_models())} It takes one of "
            f"{', '.join(list_models())}"
        )
    if init is None:
        name = model or default
        return Backbone(name, name.rpartition("_")[2], {})
    path = checkpoint_file(init)
    kept = kept_model(read_checkpoint(path, lazy=True), path) or {}
    settings = dict(kept.get("backbone") or {})
    kind = str(settings.pop("type", "")).rpartition(".")[2]
    if kind == "MAEVisionLLaMA":  # whose blocks are those of the plain backbone, without LayerScale
        kind, settings = "VisionLLaMA", {"layer_scale": None, **settings}
    if kind not in _TYPES:
        what = f"its backbone is a {kind}" if kind else "it does not say of which model it is"
        raise CheckpointError(
            f"--init {init}: {what}; a checkpoint of {' or '.join(_TYPES)} is needed that a training of this "
            "package has saved, or tools/convert_checkpoint.py has written"
        )
    arch = settings.pop("arch", "base")
    name = f"{_TYPES[kind]}_{arch if isinstance(arch, str) else 'own'}"
    if model not in (None, name):
        raise ArgumentError(f"--model {model}: {init} is a {name}; leave --model out, or --init")
    # A detector has its windows back from its own settings; nothing else needs those of a plain backbone.
    left = _NOT_TAKEN if kind == "PyramidVisionLLaMA" else (*_NOT_TAKEN, "window")
    kept = {key: x for key, x in settings.items() if key not in left}
    return Backbone(name, arch, kept, path.absolute())
