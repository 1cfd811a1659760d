"""Replay a skipped batch, and name the first output that is not finite."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

from mmvisionllama.checkpoint import newest_good
from mmvisionllama.checkpoint.manifest import named_tensors
from mmvisionllama.checks.checkpoint import check_exact
from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from mmvisionllama.errors import CheckpointError
from mmvisionllama.fault_tolerance.bad_batches import read_batch
from mmvisionllama.fault_tolerance.random_state import restore_random_state
from mmvisionllama.suggestions import shortened


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
    batches, random_state, _ = read_batch(batch)
    cfg = load_config(config)
    model = build_model(cfg)
    if checkpoint is None:
        folder = Path(batch).resolve().parents[1]
        checkpoint = newest_good(folder).path
        if checkpoint is None:
            raise CheckpointError(f"{folder} has no good checkpoint; name one")
    check_exact(model, str(checkpoint), cfg)
    load_checkpoint(model, str(checkpoint), map_location="cpu", strict=True)
    model.train()
    try:
        restore_random_state(random_state)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{batch} holds a damaged random state: {error}") from error
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
