"""Measure the start of a training by parts, from the start of Python to the end of the first step.

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python docs/figures/measure_start.py CONFIG [ROUNDS]

Each round is a process of its own; the table has the median of each part.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from statistics import median
from typing import Any

PARTS = {
    "torch": "import torch",
    "package": "import of the package and of mmengine",
    "config": "config, and import of the hosts that it needs",
    "checks": "checks of model and data",
    "runner": "Runner and its hooks",
    "training": "data sets, optimizer, schedules",
    "before": "hooks before the first step",
    "batch": "loading processes, first batch",
    "step": "first step",
}
_INSIDE = "MEASURE_START_INSIDE"


class _FirstStepMade(BaseException):
    """Ends the training that is measured."""


def measure(config: str) -> dict[str, tuple[float, float]]:
    """Start a training in this process, and return seconds and processor seconds of each part."""
    parts: dict[str, tuple[float, float]] = {}
    # Python itself has used its first processor seconds alone.
    last = [time.perf_counter() - time.process_time(), 0.0]

    def end(part: str) -> None:
        now = [time.perf_counter(), time.process_time()]
        parts[part] = now[0] - last[0], now[1] - last[1]
        last[:] = now

    def ends(part: str, owner: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if part not in parts:
                end(part)
            if part == "step":
                raise _FirstStepMade
            return result

        setattr(owner, name, measured)

    import_module("mmvisionllama")  # as every command does first
    import_module("torch")

    end("torch")
    from mmvisionllama.training import launch, loops, runner, starting

    end("package")
    ends("config", launch, "_read")
    ends("checks", starting, "init_distributed")  # the first thing behind them
    ends("runner", launch, "start_run")
    ends("training", runner.ResumableRunner, "build_training")
    ends("before", loops.ResumableEpochLoop, "begin_epoch")
    ends("before", loops.ResumableIterLoop, "begin_epoch")
    step = loops._TrainLoop.step

    def first_step(loop: Any, *args: Any) -> None:
        end("batch")
        step(loop, *args)

    loops._TrainLoop.step = first_step
    ends("step", loops._TrainLoop, "step")
    with tempfile.TemporaryDirectory() as folder:
        try:
            launch.train(config, work_dir=folder)
        except _FirstStepMade:
            return parts
    raise SystemExit(f"{config}: no step was made")


def main() -> None:
    """Print the table."""
    config, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    environ = {**os.environ, _INSIDE: "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, __file__, config]
    runs = []
    for _ in range(rounds):
        done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    sys.stdout.write("| part | seconds | processor seconds |\n|---|---|---|\n")
    totals = [0.0, 0.0]
    for part, text in PARTS.items():
        seconds = [median(run[part][i] for run in runs) for i in (0, 1)]
        totals = [a + b for a, b in zip(totals, seconds, strict=True)]
        sys.stdout.write(f"| {text} | {seconds[0]:.2f} | {seconds[1]:.2f} |\n")
    sys.stdout.write(f"| all | {totals[0]:.2f} | {totals[1]:.2f} |\n")


if __name__ == "__main__":
    if os.environ.get(_INSIDE):
        measured = measure(sys.argv[1])
        sys.stdout.write(f"{json.dumps(measured)}\n")
        sys.stdout.flush()
        os._exit(0)  # loading processes need no end of their own
    main()
