"""The parts of a run on a GPU, most important first, and the time that each of them gets."""

import os
import platform
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

import mmvisionllama
from mmvisionllama.benchmark.gpu.correctness import (
    TASKS,
    check_communication,
    check_operators,
    check_task,
    write_data,
)
from mmvisionllama.benchmark.gpu.jobs import Job, Record, run_jobs
from mmvisionllama.benchmark.gpu.kernels import profile_step
from mmvisionllama.benchmark.gpu.report import Book
from mmvisionllama.benchmark.gpu.step_speed import measure_subject, worst
from mmvisionllama.benchmark.gpu.subjects import subjects

# What is measured of every subject, and of the first one besides.
_STYLES = ("eager", "compiled")
_OPTIONS = (
    'compiled, mode="reduce-overhead"',
    "compiled, AdamW not fused",
    "compiled, AdamW capturable",
)
# Shares of the time at which correctness and speed must have ended; kernels get the rest.
_CORRECT, _FAST = 0.4, 0.93
_TOGETHER = 6  # jobs at once while nothing is timed: a compiler needs cores, hardly the GPU


def benchmark_gpu(
    out: Path,
    *,
    device: str = "cuda",
    scale: str = "full",
    seconds: float = 450,
    tasks: Sequence[str] = tuple(TASKS),
    names: Sequence[str] | None = None,
) -> Path:
    """Run all parts within a time, and return the page, which is there from the first record on.

    Args:
        out: Folder of records, page, logs and the trainings.
        device: ``cuda``, or ``cpu`` to try the code.
        scale: ``full`` or ``small``, see ``subjects``.
        seconds: For everything.
        tasks: Of ``TASKS``.
        names: Parts of names of subjects; None: all.
    """
    start, out = time.monotonic(), out.absolute()
    book = Book(out, _machine(device))
    chosen = [x.name for x in subjects(scale) if names is None or any(y in x.name for y in names)]
    data, logs = out / "data", out / "logs"
    run = partial(run_jobs, logs=logs)
    ahead = start + _CORRECT * seconds
    run([Job("data", "DigitScenes", write_data, dict(folder=data))], at_once=1, until=ahead, write=book.write)
    compiled = _STYLES[1:] if scale == "full" else ("traced",)
    common = dict(scale=scale, device=device)
    filling = [
        Job("compiling", name, measure_subject, dict(name=name, styles=list(compiled), seconds=0, **common))
        for name in chosen
        if scale == "full"
    ]
    checks = [
        Job("checks", "operators of detectors", check_operators, dict(device=device)),
        Job("checks", "communication", check_communication, dict(folder=out / "store", device=device)),
    ]
    trainings = [
        Job(
            "task",
            task,
            check_task,
            dict(
                task=task,
                folder=out / "runs" / task.replace(" ", "_"),
                data=data,
                device=device,
                compile=scale == "full",
                **(dict(steps=20) if scale == "full" else dict(steps=4, batch=4)),
            ),
            limit=_CORRECT * seconds,
        )
        for task in tasks
    ]
    cores = len(os.sched_getaffinity(0))
    together = max(1, min(_TOGETHER, cores // 2))
    run([*checks, *trainings, *filling], at_once=together, until=ahead, write=book.write)
    fast = start + _FAST * seconds
    timing = dict(seconds=1.5 if scale == "full" else 0.01, **common)
    speed = [
        Job("speed", name, measure_subject, dict(name=name, styles=[*_STYLES[:1], *compiled], **timing))
        for name in chosen
    ]
    if scale == "full":
        only = dict(name=chosen[0], styles=list(_OPTIONS), ours_only=True, **timing)
        speed.insert(1, Job("speed", f"{chosen[0]}, options", measure_subject, only))
    run(speed, at_once=1, until=fast, write=book.write)
    slowest = worst([x for x in book.records if x["part"] == "speed"])
    if slowest:
        options = dict(name=slowest["subject"], style=slowest["style"], **common)
        kernels = [Job("kernels", slowest["subject"], profile_step, options)]
        run(kernels, at_once=1, until=start + seconds, write=book.write)
    return book.folder / "report.md"


def _machine(device: str) -> Record:
    """Say what is measured on, and with what."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    versions = dict(mmvisionllama=mmvisionllama.__version__, torch=torch.__version__)
    return dict(device=gpu, cores=len(os.sched_getaffinity(0)), python=platform.python_version(), **versions)
