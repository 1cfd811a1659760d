"""Dry run: a few steps, one validation batch, and an estimate of memory and time for the whole."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from mmvisionllama.errors import LaunchError, TrainingEnded
from mmvisionllama.host_internals import end_workers
from mmvisionllama.reports.speed import peak_memory, present_memory, reset_peak_memory
from mmvisionllama.runner_parts import averages, optim_wrappers, unwrapped
from mmvisionllama.suggestions import shortened

_STEPS, _WARM_UP, _SLOW_SECONDS = 3, 2, 20.0  # the first one warms up, so more are timed where they are quick
_GIB = 1 << 30


class _Done(TrainingEnded):
    """The steps have been made."""


@dataclass
class DryRun:
    """What was seen, in seconds and bytes of the process that needed most.

    Attributes:
        peak: Memory of the GPU, or of the process on a CPU.
        held: What the training keeps from step to step, by name.
        untouched: Names of trained parameters that no gradient reached.
        base: Memory of the process before the first step, on a CPU.
    """

    loss: float
    step_seconds: float
    steps: int
    peak: int
    held: dict[str, int]
    untouched: list[str] = field(default_factory=list)
    val_seconds: float = 0.0
    val_batches: int = 0
    validations: int = 0
    base: int = 0

    @property
    def seconds(self) -> float:
        """Estimate of the whole training."""
        return self.step_seconds * self.steps + self.val_seconds * self.val_batches * self.validations

    def parts(self) -> str:
        """Return what is held from step to step, in words."""
        return ", ".join(f"{name} {gib(size)}" for name, size in self.held.items())

    def lines(self) -> Iterator[str]:
        """Say what was seen, and what the whole training would take."""
        where = "GPU memory" if torch.cuda.is_available() else "memory of a process"
        yield f"Dry run: the loss is {self.loss:.4g}; nothing of this run is kept"
        yield f"{where}: {gib(self.peak)} at its peak, of it {self.parts()}; the rest is for activations"
        steps = duration(self.step_seconds * self.steps)
        yield f"time: {self.step_seconds:.3g} s a step, {steps} for all {self.steps:,}"
        if self.validations:
            each = duration(self.val_seconds * self.val_batches)
            yield f"validation: {each} for {self.val_batches:,} batches, {self.validations:,} times"
        yield f"in all: about {duration(self.seconds)}; a checkpoint has about {gib(self._checkpoint())}"
        if self.untouched:
            yield f"WITHOUT GRADIENT: {shortened(self.untouched)}"

    def _checkpoint(self) -> int:
        return sum(size for name, size in self.held.items() if name != "gradients")


def report_dry_run(
    runner: Runner, hook: "DryRunHook", lines: Callable[[DryRun], Iterable[str]] = DryRun.lines
) -> DryRun:
    """Do ``make_dry_run``, and report to the log of the run.

    Args:
        lines: What is said of it.
    Raises: LaunchError: if the loss is not finite, or no step is left.
    """
    found = make_dry_run(runner, hook)
    for line in lines(found):
        runner.logger.info(line)
    if not math.isfinite(found.loss):
        raise LaunchError(f"--dry-run: the loss is {found.loss}")
    return found


def make_dry_run(runner: Runner, hook: "DryRunHook") -> DryRun:
    """Make a few steps of a training that has not begun, and one validation batch.

    Raises: LaunchError: if no step is left.
    """
    runner.register_hook(hook)
    with suppress(_Done):
        runner.train()
    for dataloader in (runner.train_dataloader, *([runner.val_dataloader] if runner.val_loop else [])):
        end_workers(dataloader)
    if hook.found is None:
        raise LaunchError("--dry-run: no step is left of this training")
    return hook.found


@contextmanager
def temporary_work_dir() -> Iterator[Path]:
    """Yield a work directory that goes away at the end of this block."""
    with TemporaryDirectory(prefix="dry_run_") as folder:
        yield Path(folder) / "run"


class DryRunHook(Hook):
    """Measure a few steps and one validation batch, then end the run.

    Args:
        steps: How many; more tell better how long one takes.
    """

    def __init__(self, steps: int = _STEPS) -> None:
        self.found: DryRun | None = None
        self._steps, self._seconds = steps, []
        self._with_gradient: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        runner.train_loop.val_begin = math.inf
        for name, parameter in unwrapped(runner).named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._noting(name))
        reset_peak_memory()
        self._base = 0 if torch.cuda.is_available() else present_memory()
        self._left = runner.max_iters - runner.iter
        self._last = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        loss = torch.as_tensor((outputs or {}).get("loss", math.nan)).item()  # waits for the GPU
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self._seconds.append(seconds)
        slow = runner.collectives.highest(round(seconds * 1000)) > 1000 * _SLOW_SECONDS
        if len(self._seconds) < min(self._steps, self._left) and not slow:
            return
        self.found = DryRun(
            loss=loss,
            step_seconds=median(self._seconds[_WARM_UP:] or self._seconds[-1:]),
            steps=self._left,
            peak=0,
            held=_held(runner),
            untouched=sorted(_trained(unwrapped(runner)) - self._with_gradient),
            base=self._base,
        )
        if runner.val_loop is not None:
            self._validate(runner)
        self.found.peak = runner.collectives.highest(peak_memory())
        raise _Done

    def _validate(self, runner: Runner) -> None:
        loop = runner.val_loop
        batch = next(iter(loop.dataloader))
        runner.model.eval()
        start = time.perf_counter()
        with torch.no_grad(), autocast(enabled=getattr(loop, "fp16", False)):
            outputs = runner.model.val_step(batch)
        loop.evaluator.process(data_samples=outputs, data_batch=batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.found.val_seconds = time.perf_counter() - start
        self.found.val_batches = len(loop.dataloader)
        train = runner.train_loop
        length = train.max_epochs if isinstance(train, EpochBasedTrainLoop) else train.max_iters
        self.found.validations = -(-length // train.val_interval)

    def _noting(self, name: str) -> Any:
        return lambda parameter: self._with_gradient.add(name)


def _trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _held(runner: Runner) -> dict[str, int]:
    model = unwrapped(runner)
    groups = [group for w in optim_wrappers(runner.optim_wrapper) for group in w.optimizer.state.values()]
    states = [x for group in groups for x in group.values()]
    kept = [x for average in averages(runner) for x in average.parameters()]
    held = {
        "weights": _size([*model.parameters(), *model.buffers()]),
        "gradients": _size(x for x in model.parameters() if x.requires_grad),
        "optimizer": _size(x for x in states if isinstance(x, Tensor)),
        "averages": _size(kept),
    }
    return {name: size for name, size in held.items() if size}


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def gib(size: float) -> str:
    """Return a number of bytes in words, in MiB where it is small."""
    return f"{size / _GIB:.3g} GiB" if size >= 0.1 * _GIB else f"{1024 * size / _GIB:.3g} MiB"


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    return f"{minutes} min" if minutes < 120 else f"{hours} h" if hours < 72 else f"{hours / 24:.1f} days"
