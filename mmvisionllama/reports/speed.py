"""Speed of a run: images a second, share of waiting for data with a hint, memory, model FLOPs utilisation."""

import math
import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.runner import Runner

from mmvisionllama.reports.flops import present_peak, step_flops
from mmvisionllama.reports.start_report import images_of_step

WINDOW = 20  # iterations that loss and times are means of
_LONG_WAIT = 0.1  # of the time, from which on it is worth mending


@dataclass(frozen=True)
class Speed:
    """What the last iterations took.

    Attributes:
        seconds: Of an iteration.
        images: A second, in all processes.
        waiting: Share of the time that went into waiting for data, in [0, 1]; None where nobody measures it.
        mfu: Share of the GPUs' peak that the model's FLOPs are; None where that is not known, as on a CPU.
        hint: What to change where the share of waiting is large.
    """

    seconds: float
    images: float
    waiting: float | None = None
    mfu: float | None = None
    hint: str = ""

    def facts(self) -> list[str]:
        """Return it in words, for a bar or a line."""
        facts = [f"{self.images:.3g} images/s"]
        if self.mfu is not None:
            facts.append(f"{100 * self.mfu:.3g} % MFU")
        if self.waiting is not None:
            facts.append(f"{100 * self.waiting:.0f} % waiting for data{self.hint and f' ({self.hint})'}")
        return facts

    def scalars(self) -> dict[str, float]:
        """Return it as numbers by name; shares are in percent."""
        found = {"images_per_second": self.images}
        if self.waiting is not None:
            found["waiting_percent"] = 100 * self.waiting
        if self.mfu is not None:
            found["mfu_percent"] = 100 * self.mfu
        return found


def speed_of(runner: Runner, mode: str) -> Speed | None:
    """Return the speed of ``train``, ``val`` or ``test``, None before the first iteration."""
    seconds, data = (mean_of(runner, f"{mode}/{name}") for name in ("time", "data_time"))
    if not seconds or not math.isfinite(seconds):
        return None
    images = images_of_step(runner, mode) / seconds
    waiting = None if data is None else data / seconds
    hint = ""
    if waiting is not None and waiting > _LONG_WAIT:
        hint = waiting_hint(mode, runner.built_loops[mode].dataloader.num_workers)
    mfu = None
    if mode == "train" and (flops := step_flops(runner)) and (peak := present_peak(runner)):
        mfu = flops / seconds / peak
    return Speed(seconds, images, waiting, mfu, hint)


def mean_of(runner: Runner, name: str, window: int = WINDOW) -> float | None:
    """Return the mean of the last values of a logged number, None if it has none."""
    buffer = runner.message_hub.log_scalars.get(name)
    return None if buffer is None or not len(buffer.data[0]) else float(buffer.mean(window))


def waiting_hint(mode: str, workers: int) -> str:
    """Say what to change where a run waits for its data.

    Args:
        workers: Processes that load for each process of the run.
    """
    cores = len(os.sched_getaffinity(0))
    if workers < cores:
        return f"raise {mode}_dataloader.num_workers, now {workers}"
    return f"all {cores} cores load already: smaller images, fewer transforms"


def peak_memory() -> int:
    """Return the bytes that this process needed at most: of its GPU, or of memory on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return _of_process("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def present_memory() -> int:
    """Return the bytes of memory that this process has now."""
    return _of_process("VmRSS")


def reset_peak_memory() -> None:
    """Let ``peak_memory`` begin anew; on a CPU where the system allows that."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _of_process(name: str) -> int:
    """Return a size that Linux tells of this process, 0 elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0
