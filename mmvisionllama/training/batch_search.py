"""Largest batch that finds room: doubling, then bisection; a GPU is asked, a CPU's memory is foreseen."""

import gc
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmvisionllama.reports.speed import present_memory
from mmvisionllama.training.dry_run import DryRun

_GPU_SHARE, _CPU_SHARE = 0.92, 0.85  # of what is free; images and kernels to come may take more
_FULL = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Room:
    """Memory that a process may take for its training.

    Attributes:
        size: In bytes.
        by_trying: Whether too much is an error that can be caught, as on a GPU. On a CPU the system ends the
            process instead, so a batch is tried only if the smaller ones say that it fits.
        with_buckets: Whether gradients take their size once more, as DDP's buckets do.
    """

    size: int
    by_trying: bool
    with_buckets: bool = False

    def need(self, run: DryRun) -> int:
        """Return what a training needs at its peak."""
        return run.peak + (run.held.get("gradients", 0) if self.with_buckets else 0)

    def holds(self, run: DryRun) -> bool:
        """Whether what was measured fits."""
        return self.need(run) <= self.size

    def may_hold(self, measured: Sequence[tuple[int, DryRun]], batch: int) -> bool:
        """Whether it is safe to try a batch, by those that were measured so far, smallest first."""
        if self.by_trying or not measured or batch <= measured[-1][0]:
            return True
        last, run = measured[-1]
        need = self.need(run)
        foreseen = run.base + (need - run.base) * batch / last  # no part of a step grows faster
        if len(measured) > 1:
            before, less = measured[-2]
            growth = max(need - self.need(less), 0) / (last - before)
            foreseen = min(foreseen, need + growth * (batch - last))
        return foreseen <= self.size


def present_room(processes: int = 1, *, with_buckets: bool = False) -> Room:
    """Return the room of each of so many processes of this machine."""
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        free += torch.cuda.memory_reserved()  # of this process, which gives it back
        return Room(int(_GPU_SHARE * free), True, with_buckets)
    return Room(int(_CPU_SHARE * (free_memory() + present_memory()) / processes), False, with_buckets)


def free_memory() -> int:
    """Return the bytes that this machine, or the container around this process, has left."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():  # no Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    facts = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(facts["MemAvailable"].split()[0]) << 10
    most, used = (_of_group(x) for x in ("memory.max", "memory.current"))
    return free if most is None or used is None else min(free, max(most - used, 0))


def largest_batch(
    candidates: Sequence[int], measure: Callable[[int], DryRun], room: Room, *, pays: float = 0.0
) -> tuple[int, DryRun] | None:
    """Return the largest batch of ``candidates`` that finds room, with what it took; None if none does.

    Args:
        candidates: Ascending.
        measure: Makes a few steps with a batch; on a GPU it may run out of memory.
        pays: A larger batch must bring so many times the images a second, else the search ends; 0: any does.
    """
    found: list[tuple[int, DryRun]] = []

    def fits(batch: int) -> bool:
        if not room.may_hold(found, batch):
            return False
        run = unless_full(measure, batch)
        if run is None or not room.holds(run):
            return False
        found.append((batch, run))
        return True

    low, high, at = -1, len(candidates), 0
    while at < high:
        if not fits(candidates[at]):
            high = at
            break
        if low >= 0 and _speed(found[-1]) < pays * _speed(found[-2]):
            return found[-2]
        low, at = at, max(at + 1, bisect_right(candidates, 2 * candidates[at]) - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(candidates[middle]) else (low, middle)
    return found[-1] if found else None


def _speed(one: tuple[int, DryRun]) -> float:
    return one[0] / one[1].step_seconds


def unless_full(measure: Callable[[int], DryRun], batch: int) -> DryRun | None:
    """Return what a batch took, None if memory ran out, which is free again then."""
    try:
        return measure(batch)
    except RuntimeError as error:  # torch.OutOfMemoryError is one, and kernels have their own
        if not isinstance(error, torch.OutOfMemoryError) and not any(x in str(error) for x in _FULL):
            raise
    # Only now: the error's traceback keeps the tensors of the step.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _of_group(name: str) -> int | None:
    """Return a number of the container's control group, None where there is none or no limit."""
    try:
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition(":")[2].lstrip("/")
        folders = (Path("/sys/fs/cgroup", group), Path("/sys/fs/cgroup"))
        text = next((file.read_text().strip() for x in folders if (file := x / name).is_file()), "max")
    except (OSError, IndexError):
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None
