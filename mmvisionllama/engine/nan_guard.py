"""What a training does about NaN and infinity: skip, and where that is not enough, go back, once."""

import json
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmvisionllama.checkpoint.manifest import checkpoints_in, verify
from mmvisionllama.checkpoint.saving import POINTER, remove_checkpoint, write_durably
from mmvisionllama.engine.bad_batches import FOLDER, save_batch
from mmvisionllama.engine.guarded_step import GRADIENT, LOSS, OWN_LOSS, STATE, guarded_steps, non_finite_names
from mmvisionllama.engine.random_state import capture_random_state
from mmvisionllama.engine.stopping import Ending
from mmvisionllama.names import shortened
from mmvisionllama.registry import HOOKS

DIVERGED_STATUS = 65  # EX_DATAERR: the same command would fail at the same place
HISTORY = "nan_guard.json"  # in the work directory: where the run has gone back
_LAG = 1  # steps between a step and the look at what it found


class Diverged(Ending):
    """NaN or infinity for the second time at the same place, or with no checkpoint to go back to."""


class GoBack(Ending):
    """A training is to go on from an earlier checkpoint.

    Attributes:
        checkpoint: Resume from this one; the guard of that run passes over the steps that were bad.
    """

    def __init__(self, message: str, checkpoint: Path) -> None:
        super().__init__(message)
        self.checkpoint = checkpoint


@dataclass
class Incident:
    """A place where a training could not go on.

    Attributes:
        first, last: Steps, counted from 0.
        bad: Steps whose batches are passed over from now on.
        checkpoint: Name of the file that the training went back to.
    """

    reason: str
    first: int
    last: int
    bad: list[int]
    checkpoint: str | None = None


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

    priority = "BELOW_NORMAL"  # after EMAHook, before a checkpoint is saved

    def __init__(self, budget: int = 10, window: int = 100, interval: int = 50, max_saved: int = 20) -> None:
        numbers = dict(budget=budget, window=window, interval=interval, max_saved=max_saved)
        if wrong := [f"{name}={number}" for name, number in numbers.items() if number < 1]:
            raise ValueError(f"{', '.join(wrong)}: expected at least 1")
        if budget > window:
            raise ValueError(f"budget={budget} is never spent within window={window}")
        self.budget, self.window, self.interval, self.max_saved = budget, window, interval, max_saved

    def before_train(self, runner: Runner) -> None:
        """Take hold of the optimizers, and read where the run has gone back before."""
        self._folder = Path(runner.work_dir)
        self._steps = guarded_steps(runner)
        self._pending: deque[_Step] = deque()
        self._bad: list[int] = []
        self._now = _Now()
        history = self._read_history(runner) if is_main_process() else None
        self._history: list[Incident] = runner.agreement.of_first(history)
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
        for step in self._steps:
            step.passes_over = runner.iter in self._passed_over
            step.looks_at_state |= runner.iter % self.interval == 0

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Send what this step found to the CPU, and judge the step before."""
        findings = [step.findings for step in self._steps if step.findings is not None]
        for step in self._steps:
            step.forget()
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
        save_batch(folder / f"iter_{step.number}_{mine}", step.batches, step.random_state, **meta)

    def _give_up(self, runner: Runner, incident: Incident) -> None:
        """Raise in all processes: ``GoBack`` the first time at this place, else ``Diverged``."""
        choice = self._choose(incident) if is_main_process() else None
        checkpoint, why = runner.agreement.of_first(choice)
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
        verdicts = [verify(path) for path in checkpoints_in(self._folder)]
        good = [x for x in verdicts if not x.problem and x.manifest.resumable and x.manifest.step is not None]
        good.sort(key=lambda x: x.manifest.step)
        if not good:
            return None, f"There is no good checkpoint in {self._folder} to go back to"
        before = [x for x in good if x.manifest.step <= incident.first]
        chosen = (before or good[:1])[-1]
        incident.checkpoint = chosen.path.name
        history = [*self._history, incident]
        write_durably(self._folder / HISTORY, json.dumps([asdict(x) for x in history], indent=2) + "\n")
        write_durably(self._folder / POINTER, str(chosen.path))
        for verdict in good:
            if verdict.manifest.step > chosen.manifest.step:
                remove_checkpoint(verdict.path)  # a resume must not take up what was abandoned
        return chosen.path, ""

    def _read_history(self, runner: Runner) -> list[Incident]:
        file = self._folder / HISTORY
        if not runner._resume:
            file.unlink(missing_ok=True)  # of another training
        return [Incident(**x) for x in json.loads(file.read_text())] if file.is_file() else []
