"""Take turns between models, so that a machine whose speed drifts is fair to all of them."""

import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

from mmvisionllama.benchmark.specs import Subject
from mmvisionllama.benchmark.worker import serve


@dataclass(frozen=True)
class Setting:
    """What every model is asked to do.

    Args:
        size: Image height and width in pixels.
        amp: Autocast to bfloat16.
    """

    mode: Literal["forward", "train"]
    size: tuple[int, int]
    batch: int
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    compile: bool = False
    amp: bool = False


@dataclass(frozen=True)
class Measurement:
    """One model's figures.

    Args:
        seconds: Of each counted step, in the order of the rounds.
        memory: Peak bytes: on a GPU of the allocator, on a CPU of the process above its idle size.
    """

    parameters: int
    seconds: list[float]
    memory: int

    def images_per_second(self, batch: int) -> float:
        return batch / statistics.median(self.seconds)

    def rate_against(self, other: "Measurement") -> tuple[float, float, float]:
        """Give the quartiles over rounds of this model's rate over the other's in the same round."""
        ratios = [theirs / ours for ours, theirs in zip(self.seconds, other.seconds, strict=True)]
        if len(ratios) == 1:
            ratios *= 2
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return low, median, high


def measure(
    models: Sequence[Subject],
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
    return [Measurement(*figures) for figures in zip(sizes, seconds, peaks, strict=True)]


@contextmanager
def _workers(models: Sequence[Subject], setting: Setting) -> Iterator[list[Connection]]:
    spawn = multiprocessing.get_context("spawn")
    # An idle process must not spin on the cores of the one whose turn it is.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    processes, pipes = [], []
    try:
        for model in models:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(theirs, model, asdict(setting)), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        yield pipes
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            with suppress(OSError):  # it died, and its model was named
                pipe.send(False)
            process.join(timeout=10)
            process.terminate()


def _answer(pipe: Connection, model: Subject) -> Any:
    try:
        kind, value = pipe.recv()
    except EOFError:
        kind, value = "error", "its process died (out of memory?)"
    if kind == "error":
        raise RuntimeError(f"{model.name} failed: {value}")
    return value
