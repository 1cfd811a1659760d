"""Trainings in processes of their own, which a fault can strike at any moment."""

import contextlib
import functools
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed as dist
from yapf.yapflib import yapf_api

from mmvisionllama.checkpoint import newest_good
from mmvisionllama.training.checkpoint_hook import SafeCheckpointHook
from tests.fault_tolerance.resume_cases import differences, left_by, training

EVERY, STEPS = 2, 20  # the interval of checkpoints, and the length of every training
_LIMIT = 150.0  # seconds after which a training counts as one that does not end
_FIRST, _STEP, _SAVES, _SAVING, _SAVE_SECONDS, _STRUCK = range(6)


class Heartbeat(Hook):
    """Tells the process that started a training where it is, in shared memory, which a kill leaves as it is.

    Attributes:
        first: Training iterations behind the first one of this start, -1 before that.
        step: Training iterations that were computed.
        saves: Saves that have begun.
        saving: Whether one is going on.
        save_seconds: What the last one took.
        struck: The time when ``strikes`` was called.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._shared = RawArray("d", 6)
        self._shared[_FIRST] = -1

    first = property(lambda self: int(self._shared[_FIRST]))
    step = property(lambda self: int(self._shared[_STEP]))
    saves = property(lambda self: int(self._shared[_SAVES]))
    saving = property(lambda self: self._shared[_SAVING] > 0)
    save_seconds = property(lambda self: self._shared[_SAVE_SECONDS])
    struck = property(lambda self: self._shared[_STRUCK])

    def strikes(self) -> None:
        """Note when a fault strikes."""
        self._shared[_STRUCK] = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        runner.save_checkpoint = self._noted(runner.save_checkpoint)
        for hook in runner.hooks:
            if isinstance(hook, SafeCheckpointHook):
                hook.save = self._noted(hook.save)

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if self.first < 0:
            self._shared[_FIRST] = self._shared[_STEP] = runner.iter

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self._shared[_STEP] = runner.iter + 1

    def _noted(self, save: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            self._shared[_SAVES] += not self.saving
            self._shared[_SAVING] += 1
            start = time.monotonic()
            try:
                return save(*args, **kwargs)
            finally:
                self._shared[_SAVE_SECONDS] = time.monotonic() - start
                self._shared[_SAVING] -= 1

        return noted


@dataclass
class StartedTraining:
    """A training that was started.

    Attributes:
        outputs: What its processes print, in this start and those before.
        heartbeats: Of each of its processes.
        statuses: Of the processes that have ended, by rank; negative for signals.
    """

    work_dir: Path
    outputs: list[Path]
    heartbeats: list[Heartbeat]
    pids: list[int]
    statuses: dict[int, int] = field(default_factory=dict)

    def is_alive(self) -> bool:
        for rank, pid in enumerate(self.pids):
            if rank not in self.statuses:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self.statuses[rank] = os.waitstatus_to_exitcode(status)
        return len(self.statuses) < len(self.pids)

    def ended(self) -> list[int]:
        """Wait for all processes and return how they ended; one that does not end is an error."""
        end = time.monotonic() + _LIMIT
        while self.is_alive():
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"still running after {_LIMIT:.0f} s:\n{self.output()[-3000:]}")
            time.sleep(0.005)
        return [self.statuses[rank] for rank in range(len(self.pids))]

    def kill(self) -> None:
        for rank, pid in enumerate(self.pids):
            if rank not in self.statuses:
                os.kill(pid, signal.SIGKILL)

    @property
    def step(self) -> int:
        """Training iterations that were computed."""
        return max(heartbeat.step for heartbeat in self.heartbeats)

    def output(self) -> str:
        """Return what all starts in this work directory have printed."""
        return "".join(file.read_text(errors="replace") for file in self.outputs)

    def log(self, rank: int) -> str:
        """Return what a process has logged, over all starts."""
        files = sorted(self.work_dir.glob(f"*/*_rank{rank}.log" if rank else "*/*[0-9].log"))
        return "".join(x.read_text(errors="replace") for x in files if rank or "_rank" not in x.name)


class FaultBench:
    """Starts trainings of one kind, and knows what an undisturbed one leaves.

    Args:
        folder: For all files.
        processes: Of each training.
        changes: Of ``training``.
    """

    def __init__(self, folder: Path, *, processes: int = 1, **changes: Any) -> None:
        _warm_up()
        self.folder, self.processes = folder, processes
        self._outputs = folder / "outputs"
        self._outputs.mkdir(parents=True)
        self._changes = {"every": EVERY, "max_iters": STEPS, **changes}
        if processes > 1:
            self._changes |= {"launcher": "pytorch", "batch_size": 4 // processes}
        self._count = 0
        started = self.start(self.new())
        assert started.ended() == [0] * processes, started.output()[-3000:]
        self._left = [self._left_in(started, rank) for rank in range(processes)]
        self._losses = _losses(started.work_dir)
        self.save_seconds = started.heartbeats[0].save_seconds
        self.checkpoint_bytes = max(x.stat().st_size for x in started.work_dir.glob("iter_*.pth"))

    def new(self) -> Path:
        """Return the work directory of a training to come."""
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir(parents=True)
        return folder / "run"

    def start(
        self,
        work_dir: Path,
        prepare: Callable[[Runner, Heartbeat], None] | None = None,
        heartbeats: list[Heartbeat] | None = None,
    ) -> StartedTraining:
        """Start a training, or go on with it; ``prepare`` may change each Runner before it trains.

        Args:
            heartbeats: Those of its processes, where this is itself a process that another one watches.
        """
        heartbeats = heartbeats or [Heartbeat() for _ in range(self.processes)]
        name = f"{self.folder.name}_{work_dir.parent.name}"
        outputs = [self._outputs / f"{name}_{rank}.txt" for rank in range(self.processes)]
        store = tempfile.mktemp(dir=self.folder, prefix="store")
        pids = []
        for rank, heartbeat in enumerate(heartbeats):
            pid = os.fork()
            if pid == 0:
                self._be(rank, store, work_dir, outputs[rank], heartbeat, prepare)
            pids.append(pid)
        return StartedTraining(work_dir, outputs, heartbeats, pids)

    def is_as_undisturbed(self, started: StartedTraining) -> bool:
        """Whether weights, averages, optimizer, histories, random states, losses are, bit for bit."""
        for rank, left in enumerate(self._left):
            if differences(left, self._left_in(started, rank)):
                return False
        losses = _losses(started.work_dir)
        return losses.keys() == self._losses.keys() and losses == self._losses

    def has_undisturbed_weights(self, started: StartedTraining) -> bool:
        """Whether weights and optimizer are, whatever was logged and found best meanwhile."""
        parts = (".model.", ".saved.state_dict.", ".saved.optimizer.")
        left = [
            {k: v for k, v in x.items() if k.startswith(parts)}
            for x in (self._left[0], self._left_in(started, 0))
        ]
        return bool(left[0]) and not differences(*left)

    @staticmethod
    def _left_in(started: StartedTraining, rank: int) -> dict[str, Any]:
        return torch.load(started.work_dir.parent / f"left{rank}", weights_only=False)

    def _be(
        self, rank: int, store: str, work_dir: Path, output: Path, heartbeat: Heartbeat, prepare: Any
    ) -> None:
        """Be a process of a training, and end with it."""
        status = 1
        file = output.open("a", buffering=1)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file  # a test may have put others in their places
        # Writing the config prettily into each checkpoint takes longer than all the rest.
        yapf_api.FormatCode = lambda text, **kwargs: (text, True)
        try:
            if self.processes > 1:
                self._join(rank, store)
            runner = training(work_dir, resume=True, **self._changes)
            runner.register_hook(heartbeat)
            if prepare is not None:
                prepare(runner, heartbeat)
            runner.train()
            torch.save(left_by(runner), work_dir.parent / f"left{rank}")
            if self.processes > 1:
                dist.barrier()
            status = 0
        except BaseException:  # as the interpreter does; whoever started it looks at the status
            traceback.print_exc()
        finally:
            file.flush()
            os._exit(status)

    def _join(self, rank: int, store: str) -> None:
        count = self.processes
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
        timeout = timedelta(seconds=self._changes.get("timeout", 1800))
        meeting = dist.FileStore(store, count)
        dist.init_process_group("gloo", store=meeting, rank=rank, world_size=count, timeout=timeout)


@functools.cache
def _warm_up() -> None:
    """Import here what a training imports, once for all the processes that are forked from this one."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        training(Path(folder), max_iters=1, every=1).train()


def saved_step(work_dir: Path) -> int:
    """Return the step that a resume starts from, 0 for none."""
    path = newest_good(work_dir).path
    return 0 if path is None else int(path.stem.removeprefix("iter_"))


def _losses(work_dir: Path) -> dict[int, set[float]]:
    """Return the logged losses of every step; one that was made twice must have logged the same."""
    losses: dict[int, set[float]] = {}
    for file in work_dir.glob("*/vis_data/*.json"):
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # else a kill came while it was written
                record = json.loads(line)
                if "loss" in record:
                    losses.setdefault(record["step"], set()).add(record["loss"])
    return losses
