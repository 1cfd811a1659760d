"""Measure models in turn, one step each, so that a machine whose speed drifts is fair to all."""

import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from mmvisionllama.benchmark.model_specs import ModelSpec
from mmvisionllama.benchmark.worker import Setting, quartiles, serve


@dataclass(frozen=True)
class Timing:
    """How long one of several subjects took.

    Args:
        seconds: Of each counted round, in their order.
    """

    seconds: list[float]

    def images_per_second(self, batch: int) -> float:
        return batch / statistics.median(self.seconds)

    def rate_against(self, other: "Timing") -> tuple[float, float, float]:
        """Give the quartiles over rounds of this subject's rate over the other's in the same round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return quartiles([theirs / ours for ours, theirs in pairs])


@dataclass(frozen=True)
class Measurement(Timing):
    """One model's figures.

    Args:
        memory: Peak bytes: on a GPU of the allocator, on a CPU of the process above its idle size.
    """

    parameters: int
    memory: int


def measure(
    models: Sequence[ModelSpec],
    setting: Setting,
    *,
    rounds: int = 15,
    warmup: int = 3,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Measurement]:
    """Run one step of every model in turn, ``rounds`` times after ``warmup`` uncounted ones.

    Each model has a process of its own, so that memory is its own; only one of them works at a time.

    Raises:
        RuntimeError: naming the model that failed, with its error.
    """
    if not models or rounds < 1:
        raise ValueError(f"need at least one model and one round, got {len(models)} and {rounds}")
    with _workers(models, setting) as pipes:
        sizes = [_answer(pipe, model) for pipe, model in zip(pipes, models, strict=True)]
        seconds: list[list[float]] = [[] for _ in models]
        peaks = [0] * len(models)
        for turn in range(warmup + rounds):
            for i, (pipe, model) in enumerate(zip(pipes, models, strict=True)):
                pipe.send(True)
                elapsed, peaks[i] = _answer(pipe, model)
                if turn >= warmup:
                    seconds[i].append(elapsed)
            progress(turn + 1, warmup + rounds)
    return [Measurement(*figures) for figures in zip(seconds, sizes, peaks, strict=True)]


@contextmanager
def _workers(models: Sequence[ModelSpec], setting: Setting) -> Iterator[list[Connection]]:
    # Idle processes must not use the cores of the one that works.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # All are forked from one that has imported what each needs, some 3 s, and that never computes.
    clean = multiprocessing.get_context("forkserver")
    scopes = {f"{model.scope}.models" for model in models}
    clean.set_forkserver_preload(["mmvisionllama.benchmark.worker", *sorted(scopes)])
    processes, pipes = [], []
    try:
        for model in models:
            ours, theirs = clean.Pipe()
            process = clean.Process(target=serve, args=(theirs, model, setting), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        yield pipes
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            with suppress(OSError):  # the process died, and _answer has named its model
                pipe.send(False)
            process.join(timeout=10)
            process.terminate()


def _answer(pipe: Connection, model: ModelSpec) -> Any:
    try:
        kind, value = pipe.recv()
    except EOFError:
        kind, value = "error", "its process died (out of memory?)"
    if kind == "error":
        raise RuntimeError(f"{model.name} failed: {value}")
    return value
