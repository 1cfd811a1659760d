"""Compute once more with a batch that a training could not use, and say where it goes wrong."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

from mmvisionllama.checkpoint import CheckpointError, check_exact, make_mmengine_read_safely, newest_good
from mmvisionllama.checkpoint.manifest import named_tensors
from mmvisionllama.config import load_config
from mmvisionllama.engine.bad_batches import read_batch
from mmvisionllama.engine.preflight import build_model
from mmvisionllama.engine.random_state import restore_random_state
from mmvisionllama.names import shortened


@dataclass(frozen=True)
class Replay:
    """What a batch does to a model.

    Attributes:
        loss: Of every part of the batch, with the names that the model gives.
        inputs: Ranges of the tensors in the batch, as text.
        first: The first module whose output is not finite, None if all are.
        gradients: Names of parameters whose gradient is not finite.
        weights: Names of weights that are not finite themselves.
    """

    loss: list[dict[str, float]]
    inputs: list[str]
    first: str | None
    gradients: list[str]
    weights: list[str]

    def lines(self) -> Iterator[str]:
        for index, (loss, inputs) in enumerate(zip(self.loss, self.inputs, strict=True)):
            yield f"batch {index}: {inputs}"
            yield f"loss {index}: " + ", ".join(f"{name} {value:.6g}" for name, value in loss.items())
        if self.weights:
            yield f"weights that are not finite: {shortened(self.weights)}"
        yield f"first output that is not finite: {self.first or 'none'}"
        yield f"gradients that are not finite: {shortened(self.gradients) if self.gradients else 'none'}"

    @property
    def is_finite(self) -> bool:
        """Whether the batch does no harm."""
        values = [x for loss in self.loss for x in loss.values()]
        return not (self.first or self.gradients or self.weights) and all(map(math.isfinite, values))


def replay(config: str | Path, batch: str | Path, checkpoint: str | Path | None = None) -> Replay:
    """Compute the loss and the gradients of a saved batch, with the random state that it had.

    Args:
        config: As the training left it in its work directory.
        batch: A file of ``bad_batches``.
        checkpoint: Weights to take; None: the newest good one beside the folder of ``batch``.
    Raises:
        ConfigError: if the config is wrong.
        CheckpointError: if the batch or the checkpoint cannot be read or does not fit.
    """
    make_mmengine_read_safely()
    batches, random_state, _ = read_batch(batch)
    model = build_model(load_config(config))
    if checkpoint is None:
        folder = Path(batch).resolve().parents[1]
        checkpoint = newest_good(folder).path
        if checkpoint is None:
            raise CheckpointError(f"{folder} has no good checkpoint; name one")
    check_exact(model, str(checkpoint))
    load_checkpoint(model, str(checkpoint), map_location="cpu", strict=True)
    model.train()
    restore_random_state(random_state)
    return _computed(model, batches)


def _computed(model: nn.Module, batches: list[Any]) -> Replay:
    first: list[str] = []
    handles = [
        module.register_forward_hook(_noting(name or type(model).__name__, first))
        for name, module in model.named_modules()
    ]
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0), accumulative_counts=len(batches) + 1)
    losses = [model.train_step(batch, optim_wrapper=wrapper) for batch in batches]
    for handle in handles:
        handle.remove()
    named = list(model.named_parameters())
    return Replay(
        loss=[{name: float(value) for name, value in loss.items()} for loss in losses],
        inputs=[", ".join(_ranges(batch, "")) for batch in batches],
        first=first[0] if first else None,
        gradients=[name for name, x in named if x.grad is not None and not _finite(x.grad)],
        weights=[name for name, x in named if not _finite(x)],
    )


def _noting(name: str, found: list[str]) -> Any:
    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if not all(_finite(x) for _, x in named_tensors(output)):
            found.append(name)

    return note


def _ranges(batch: Any, name: str) -> Iterator[str]:
    for path, x in named_tensors(batch, name):
        if x.is_floating_point() and x.numel():
            odd = int((~torch.isfinite(x)).sum())
            text = f"{odd:,} of {x.numel():,} not finite" if odd else f"{x.min():.4g} to {x.max():.4g}"
            yield f"{path} {tuple(x.shape)}: {text}"


def _finite(x: Tensor) -> bool:
    return not x.is_floating_point() or bool(torch.isfinite(x).all())
