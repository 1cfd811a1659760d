"""Measure what saving a checkpoint takes: PYTHONPATH=. python docs/figures/measure_save.py CONFIG

Trains by a config with batches of two images, saves after each step, and tells the median of ten saves.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from mmvisionllama import train
from mmvisionllama.training.checkpoint_hook import SafeCheckpointHook

SAVES = 11  # the first one, which imports, does not count


class _Measured(BaseException):
    """Ends the training that is measured."""


def main() -> None:
    """Train, and tell processor seconds, seconds and bytes of a save."""
    save = SafeCheckpointHook.save
    taken: list[tuple[float, float, int]] = []

    def measured(*args: Any, **kwargs: Any) -> Path:
        before = time.process_time(), time.perf_counter()
        path = save(*args, **kwargs)
        seconds = time.process_time() - before[0], time.perf_counter() - before[1]
        taken.append((*seconds, path.stat().st_size))
        if len(taken) == SAVES:
            raise _Measured
        return path

    SafeCheckpointHook.save = measured
    options = {
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.by_epoch": False,
        "train_dataloader.batch_size": 2,
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(sys.argv[1], work_dir=folder, cfg_options=options)
        except _Measured:
            processor, seconds, size = (median(x[i] for x in taken[1:]) for i in range(3))
            text = f"{processor:.3f} processor seconds, {seconds:.3f} s, {size / 2**20:.1f} MiB\n"
            sys.stdout.write(text)
            sys.stdout.flush()
    os._exit(0)  # loading processes need no end of their own


if __name__ == "__main__":
    main()
