"""NaN guard: skip non-finite steps; after too many, go back to a good checkpoint once."""

import json
import os
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.checkpoint.manifest import judged
from mmvisionllama.checkpoint.run_identity import POINTER, RunRecord
from mmvisionllama.checkpoint.saving import remove_own, write_durably
from mmvisionllama.errors import ArgumentError, Diverged, GoBack
from mmvisionllama.fault_tolerance.bad_batches import FOLDER, save_batch
from mmvisionllama.fault_tolerance.guarded_step import (
    GRADIENT,
    LOSS,
    OWN_LOSS,
    STATE,
    guarded_steps,
    non_finite_names,
)
from mmvisionllama.fault_tolerance.random_state import capture_random_state
from mmvisionllama.files import read_json
from mmvisionllama.registry import HOOKS
from mmvisionllama.suggestions import shortened

HISTORY = "nan_guard.json"  # in the work directory: where the run has gone back
_LAG = 1  # steps between a step and the look at what it found


@dataclass
class Incident:
    """A place where a training could not go on.

    Attributes:
        first, last: Steps, counted from 0.
        bad: Steps whose batches are passed over from now on.
        checkpoint: Name of the file that the training went back to.
        run_id: Of the training; None before runs had ids.
    """

    reason: str
    first: int
    last: int
    bad: list[int]
    checkpoint: str | None = None
    run_id: str | None = None


@dataclass
class _Step:
    number: int
    findings: Tensor
    event: torch.cuda.Event | None
    batches: list[Any]
    random_state: dict[str, Any]


@dataclass
class _Now:
    """What belongs to the step that is being computed."""

    batches: list[Any] = field(default_factory=list)
    random_state: dict[str, Any] = field(default_factory=dict)


@HOOKS.register_module()
class NanGuardHook(Hook):
    """Skip bad steps, count them, and go back to a good checkpoint where there are too many.

    A step is bad if its loss or gradient norm is NaN or infinite in any process. It leaves weights,
    optimizer, averages and buffers as they were, while schedules go on. What the device found is read one
    step later, through pinned memory, so that no step waits for it. ``budget`` bad steps among the last
    ``window``, or NaN in weights or averages, raise ``GoBack``; a second time at the same place, or before
    any good checkpoint, ``Diverged``. The batches of bad steps are kept in ``bad_batches`` of the work
    directory, for ``tools/replay_batch.py``.

    Every training of a ``ResumableRunner`` has this hook; one in ``custom_hooks`` takes its place.

    Args:
        budget: Bad steps among the last ``window`` that are too many.
        window: Counted in iterations.
        interval: Iterations between two looks at weights and averages.
        max_saved: Batches that a process keeps on disk at most.
    Raises: ValueError: for a number below 1, or a budget above the window.
    """

    @checked
    def __init__(
        self,
        budget: Positive = 10,
        window: Positive = 100,
        interval: Positive = 50,
        max_saved: Positive = 20,
    ) -> None:
        if budget > window:
            raise ArgumentError(f"budget={budget} is never spent within window={window}")
        self.budget, self.window, self.interval, self.max_saved = budget, window, interval, max_saved

    def before_train(self, runner: Runner) -> None:
        """Take hold of the optimizers, and read where the run has gone back before."""
        self._folder, self._run = Path(runner.work_dir), runner.run
        self._steps = guarded_steps(runner)
        self._pending: deque[_Step] = deque()
        self._bad: list[int] = []
        self._now = _Now()
        history = self._own_history(runner) if is_main_process() else None
        self._history: list[Incident] = runner.collectives.of_first(history)
        self._passed_over = {step for incident in self._history for step in incident.bad}
        if any(step.waits for step in self._steps):
            kind = type(runner.optim_wrapper).__name__
            runner.logger.info(
                f"NaN guard: {kind}'s optimizer is not a fused one of torch, so its steps wait for the check"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note what the step begins with."""
        if not self._now.batches:
            self._now.random_state = capture_random_state()
        self._now.batches.append(data_batch)
        pass_over = runner.iter in self._passed_over
        for step in self._steps:
            step.begin(pass_over=pass_over, look_at_state=runner.iter % self.interval == 0)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Send what this step found to the CPU, and judge the step before."""
        findings = [x for step in self._steps if (x := step.end()) is not None]
        if findings:
            self._pending.append(self._sent(runner.iter, torch.stack(findings).amax(0)))
            self._now = _Now()
        lag = 0 if runner.iter + 1 >= runner.max_iters else _LAG
        while len(self._pending) > lag:
            self._judge(runner, self._pending.popleft())

    def _sent(self, number: int, findings: Tensor) -> _Step:
        event = None
        if findings.is_cuda:
            on_host = torch.empty(findings.shape, pin_memory=True)
            on_host.copy_(findings, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            findings = on_host
        return _Step(number, findings, event, self._now.batches, self._now.random_state)

    def _judge(self, runner: Runner, step: _Step) -> None:
        if step.event is not None:
            step.event.synchronize()
        loss, gradient, state, own_loss = (int(x) for x in step.findings[[LOSS, GRADIENT, STATE, OWN_LOSS]])
        if state:
            names = shortened(non_finite_names(runner)) or "a value on another process"
            text = f"NaN or infinity in the weights or averages: {names}"
            self._give_up(runner, Incident(text, step.number, step.number, []))
        if step.number in self._passed_over:
            runner.logger.info(f"Step {step.number + 1} passed over: it was bad before the run went back")
            return
        if not loss and not gradient:
            return
        what = "loss" if loss else "gradient"
        rank = get_world_size() - (loss or gradient)
        self._bad = [*(x for x in self._bad if x > step.number - self.window), step.number]
        if own_loss or not loss:
            self._save(runner, step, what)
        runner.logger.warning(
            f"Step {step.number + 1} skipped: the {what} is NaN or infinite (first on process {rank}); "
            f"{len(self._bad)} of the last {self.window} iterations, {self.budget} are too many"
        )
        if len(self._bad) >= self.budget:
            text = f"{len(self._bad)} bad steps within {self.window} iterations, the last for its {what}"
            self._give_up(runner, Incident(text, self._bad[0], self._bad[-1], self._bad))

    def _save(self, runner: Runner, step: _Step, what: str) -> None:
        folder = self._folder / FOLDER
        mine = f"rank{get_rank()}.pth"
        if len(list(folder.glob(f"*_{mine}"))) >= self.max_saved:
            return
        meta = dict(step=step.number, epoch=runner.epoch, rank=get_rank(), reason=what, seed=runner.seed)
        with runner.disk_faults.survived(FOLDER):
            save_batch(folder / f"iter_{step.number}_{mine}", step.batches, step.random_state, **meta)

    def _give_up(self, runner: Runner, incident: Incident) -> None:
        """Raise in all processes: ``GoBack`` the first time at this place, else ``Diverged``."""
        choice = self._choose(incident) if is_main_process() else None
        checkpoint, why = runner.collectives.of_first(choice)
        barrier()
        report = f"{incident.reason} (steps {incident.first + 1} to {incident.last + 1})"
        if checkpoint is None:
            raise Diverged(f"{report}. {why}. The batches are in {self._folder / FOLDER}")
        message = f"{report}: going back to {checkpoint}, past the batches of {len(incident.bad)} steps"
        runner.logger.error(message)
        raise GoBack(message, checkpoint)

    def _choose(self, incident: Incident) -> tuple[Path | None, str]:
        """Return the checkpoint to go back to, or None and why there is none; keep the incident on disk."""
        for past in self._history:
            if past.first <= incident.first <= past.last + self.window:
                text = f"Going back to {past.checkpoint} has not helped: it is the second time at this place"
                return None, text
        good = [x for x in judged(self._folder) if not x.problem and x.manifest.resumable]
        good = [x for x in good if x.manifest.step is not None and self._run.owns(x.manifest.run_id)]
        good.sort(key=lambda x: x.manifest.step)
        if not good:
            return None, f"There is no good checkpoint of this run in {self._folder} to go back to"
        before = [x for x in good if x.manifest.step <= incident.first]
        chosen = (before or good[:1])[-1]
        incident.checkpoint, incident.run_id = chosen.path.name, self._run.run_id
        history = [*_others_in(self._folder, self._run), *self._history, incident]
        write_durably(self._folder / HISTORY, json.dumps([asdict(x) for x in history], indent=2) + "\n")
        write_durably(self._folder / POINTER, str(chosen.path))
        for verdict in good:
            if verdict.manifest.step > chosen.manifest.step:  # a resume must not take up what was abandoned
                remove_own(verdict.path.parent, verdict.path.name, self._run)
        return chosen.path, ""

    def _own_history(self, runner: Runner) -> list[Incident]:
        file = self._folder / HISTORY
        try:
            return [x for x in read_history(file) if self._run.owns(x.run_id)]
        except (OSError, ValueError) as error:
            runner.logger.warning(
                f"{file} is damaged, so where this run went back before is forgotten: {error}"
            )
            return []


def _others_in(folder: Path, run: RunRecord) -> list[Incident]:
    """Return where other runs in this work directory have gone back; nothing if that cannot be read."""
    try:
        return [x for x in read_history(folder / HISTORY) if not run.owns(x.run_id)]
    except (OSError, ValueError):
        return []


def read_history(file: Path) -> list[Incident]:
    """Return where a run has gone back, from the file that the guard keeps; no file: nowhere.

    Raises: ValueError: if it is damaged.
    """
    if not os.path.lexists(file):
        return []
    try:
        found = [Incident(**x) for x in read_json(file)]
    except TypeError as error:
        raise ValueError(f"it lists no incidents: {error}") from error
    for incident in found:
        numbers = [incident.first, incident.last, *incident.bad] if isinstance(incident.bad, list) else [None]
        if not all(type(x) is int for x in numbers):
            raise ValueError(f"it has {incident.first!r:.40} to {incident.last!r:.40} for steps")
    return found
