"""What happens to a training at a place that the test chooses, whatever the speed of the machine."""

import os
import time
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

GO = "go"  # file in the work directory that ends every waiting
_PATIENCE = 480.0  # seconds; no test waits for it


@HOOKS.register_module()
class Events(Hook):
    """Make one thing happen in each start of a job, the first, the second and so on.

    Args:
        events: ``train-3`` waits before the training iteration 3 (counted from 0) until the run is asked to
            stop, ``val-4`` in the validation after 4 iterations, ``deaf-3`` waits whatever it is asked,
            ``bug-3`` fails in the last process.
    """

    priority = "HIGHEST"

    def __init__(self, events: list[str] | None = None) -> None:
        start = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        self._start = start
        self._event = (events or [])[start] if start < len(events or []) else ""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        kind, _, step = self._event.partition("-")
        if step != str(runner.iter) or kind == "val":
            return
        if kind == "bug":
            if get_rank() == runner.world_size - 1:
                raise RuntimeError("a bug")
            return
        self._wait(runner, deaf=kind == "deaf")

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if self._event == f"val-{runner.iter}" and batch_idx == 1:
            self._wait(runner)

    def _wait(self, runner: Runner, deaf: bool = False) -> None:
        folder = Path(runner.work_dir)
        waiting_file(folder, self._start, get_rank()).touch()
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if not deaf and (runner.stop_request.signal is not None or (folder / GO).exists()):
                return
            time.sleep(0.05)
        raise TimeoutError(f"nothing happened at {self._event}")


def waiting_file(work_dir: Path, start: int, rank: int) -> Path:
    """Return the file that appears when a process waits."""
    return work_dir / f"waiting-start{start}-rank{rank}"
