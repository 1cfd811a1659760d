"""Plan of a training on many devices, from the dry run of one: batch, memory, traffic, checkpoint, time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from mmvisionllama.config import RunConfig
from mmvisionllama.config.global_batch import GlobalBatch, share_batch
from mmvisionllama.errors import LaunchError
from mmvisionllama.runner_parts import unwrapped
from mmvisionllama.training.dry_run import DryRun, duration, gib
from mmvisionllama.training.sharding import BLOCKS, outermost

_STATED = "auto_scale_lr"


def ring(processes: int) -> float:
    """Return the part of all bytes that each process sends when a ring gathers, or reduces and scatters."""
    return (processes - 1) / processes


def all_reduced(gradients: float, processes: int) -> float:
    """Return the bytes that a process sends in a step of DDP: a ring all-reduce of the gradients."""
    return 2 * ring(processes) * gradients


def gathered(weights: float, processes: int) -> float:
    """Return the bytes that a process sends in a pass of FSDP: weights gathered forward and backward."""
    return 2 * ring(processes) * weights


def scattered(gradients: float, processes: int) -> float:
    """Return the bytes that a process sends in a pass of FSDP: gradients reduced and scattered once."""
    return ring(processes) * gradients


@dataclass(frozen=True)
class ScalePlan:
    """What one of many processes does.

    Attributes:
        batch: How they share a step.
        rate: The learning rate, in words.
        unit: Bytes of the largest part of the model that sharding gathers at once.
        steps: Of the whole training.
        val_batches: Of each process in a validation.
        precision: ``precision`` of the sharded wrapper of the config.
    """

    batch: GlobalBatch
    rate: str
    unit: int
    steps: int
    val_batches: int
    precision: Mapping[str, str]

    def lines(self, run: DryRun) -> Iterator[str]:
        """Say what each process does, by what one was measured to take; what is not measured says so."""
        count, held = self.batch.processes, run.held
        weights, gradients = held["weights"], held.get("gradients", 0)
        state = sum(held.values())
        saved = state - gradients
        whole = replace(run, steps=self.steps, val_batches=self.val_batches)
        yield f"Dry run of one of {count:,} processes: the loss is {run.loss:.4g}; nothing is kept"
        yield f"  batch       {self.batch}"
        yield f"  rate        {self.rate}"
        yield f"  memory      measured: {gib(run.peak)} at its peak, of it {run.parts()}"
        more = gradients if count > 1 else 0
        yield f"  DDP         estimate: {gib(run.peak + more)}, with {gib(more)} for buckets of gradients"
        shared = run.peak - state + state / count + self.unit
        parts = f"{gib(state / count)} of all that is held, and {gib(self.unit)} gathered at a time"
        yield f"  sharded     estimate: {gib(shared)}, with {parts}"
        yield f"  checkpoint  {gib(saved)}; sharded, a file of {gib(saved / count)} from each process"
        if count > 1:
            yield from self._traffic(weights, gradients)
        steps = duration(run.step_seconds * self.steps)
        yield f"  time        measured: {run.step_seconds:.3g} s a step, {steps} for all {self.steps:,}"
        yield f"  in all      about {duration(whole.seconds)} with validations, without what sending takes"

    def _traffic(self, weights: int, gradients: int) -> Iterator[str]:
        count, passes = self.batch.processes, self.batch.accumulation
        sent, passes = all_reduced(gradients, count), self.batch.accumulation
        yield f"  traffic     DDP: {gib(sent)} sent by a process in a step, to all-reduce {gib(gradients)}"
        # Each part of an accumulated step gathers and scatters by itself.
        gather = gathered(passes * weights / self._parts_of_float32("param_dtype"), count)
        scatter = scattered(passes * gradients / self._parts_of_float32("reduce_dtype"), count)
        over = f", over {passes} passes" if passes > 1 else ""
        yield f"              sharded: {gib(gather)} to all-gather, {gib(scatter)} to reduce-scatter{over}"

    def _parts_of_float32(self, key: str) -> int:
        return 2 if self.precision.get(key) in ("bfloat16", "float16") else 1


def take_share(run: RunConfig, processes: int) -> None:
    """Change a config for one process so that it makes the part of a step that each of many has.

    Raises:
        LaunchError: if the config's own batch must be told first.
        ConfigError: if the processes cannot share the batch evenly, naming numbers that can.
    """
    if (shared := share_batch(run.cfg, processes)) is not None:
        run.set(_STATED, dict(base_batch_size=shared.size // processes), f"--gpus {processes}")
    elif run.cfg.train_dataloader.get("batch_size") is None:
        raise LaunchError(f"--gpus {processes}: the config has no train_dataloader.batch_size")


def plan_lines(runner: Runner, cfg: Any, processes: int) -> Callable[[DryRun], Iterator[str]]:
    """Return what tells of a dry run what a training on so many processes would be.

    Args:
        runner: Of the dry run, whose config ``take_share`` has changed; its loops are built when that ends.
        cfg: The config before that.
    """
    return lambda run: plan(runner, cfg, processes).lines(run)


def plan(runner: Runner, cfg: Any, processes: int) -> ScalePlan:
    """Return the plan of a training on so many processes; see ``plan_lines``."""
    rate, batch = _rate(cfg, processes)
    wrapper = cfg.get("model_wrapper_cfg") or {}
    units = tuple(wrapper.get("units", BLOCKS))
    loop = runner.train_loop
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    steps = -(-runner.max_iters // processes) if by_epoch else runner.max_iters
    val_batches = len(runner.val_dataloader) if runner.val_loop else 0
    return ScalePlan(
        batch=batch,
        rate=rate,
        unit=_largest_unit(unwrapped(runner), units),
        steps=steps,
        val_batches=-(-val_batches // processes),
        precision=wrapper.get("precision") or {},
    )


def _rate(cfg: Any, processes: int) -> tuple[str, GlobalBatch]:
    batch = share_batch(cfg, processes)
    stated, given = cfg.get(_STATED) or {}, (cfg.optim_wrapper.get("optimizer") or {}).get("lr")
    told = "that of the config" if given is None else f"learning rate {given:.6g}"
    if batch is not None:
        return f"{told}, which the config means for {batch.size:,} images", batch
    each = cfg.train_dataloader.batch_size
    accumulated = cfg.optim_wrapper.get("accumulative_counts", 1)
    batch = GlobalBatch(each * accumulated * processes, processes, each, accumulated)
    base = stated.get("base_batch_size")
    if stated.get("enable") and base and given is not None:
        rate = given * each * processes / base
        return f"learning rate {rate:.6g} = {given:g} x {each * processes} / {base} (auto_scale_lr)", batch
    return f"{told}, whatever the batch: the config states none (auto_scale_lr)", batch


def _largest_unit(model: nn.Module, units: tuple[str, ...]) -> int:
    def size(module: nn.Module) -> int:
        return sum(x.numel() * x.element_size() for x in module.parameters())

    parts = [size(x) for x in outermost(model, units)]
    return max([*parts, size(model) - sum(parts)])
