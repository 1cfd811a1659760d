"""Progress of a run: bar or lines of trainings, validations and tests, and their metrics afterwards."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from rich.text import Text

from mmvisionllama.reports.class_results import ClassResults
from mmvisionllama.reports.progress import Bar, Lines, Status, display
from mmvisionllama.reports.screen import screen_of
from mmvisionllama.reports.speed import WINDOW, mean_of, peak_memory, speed_of
from mmvisionllama.reports.summary import best_of
from mmvisionllama.reports.tables import class_table, metrics_table, scalars_of

LONG_SECONDS = 20.0  # seconds after which it is worth saying what a run does
_MOST_CLASSES = 200  # whose results are shown
_NAMES = {"val": "validation", "test": "test"}


class ProgressHook(Hook):
    """Show how far a run is, its speed, and what it finds; the first process alone does.

    Of a training: step, epoch, the mean loss of the last 20 steps, the main metric, the learning rate of the
    config, images a second of all processes, the utilisation of GPUs, the share of time spent waiting for
    data with a hint where it is large, the peak of memory and the time left, in which validations to come
    take as long as the last one.
    """

    def __init__(self) -> None:
        self._display: Bar | Lines | None = None
        self._mode, self._done = "start", 0
        self._moved = time.monotonic()
        self._began = self._eval_seconds = 0.0
        self._metrics: dict[str, float] = {}
        self._classes = ClassResults()

    @contextmanager
    def shown(self, runner: Runner) -> Iterator[None]:
        """Show the progress of what ``runner`` does in this block."""
        if not is_main_process():
            yield
            return
        with display(screen_of(runner.logger), partial(self.status, runner)) as self._display:
            yield

    def status(self, runner: Runner) -> Status:
        """Return how far the run is; the thread that draws calls it."""
        idle = time.monotonic() - self._moved
        waits = [f"{runner.watchdog.phase} for {idle:.0f} s"] if idle > LONG_SECONDS else []
        if self._mode == "start":
            return Status(f"starting: {runner.watchdog.phase}")
        speed, left = _speed(runner, self._mode)
        if self._mode == "train":
            facts = [*_epoch(runner), *self._found(runner), *speed, _memory()]
            seconds = self._left(runner)
            return Status("step", self._done, runner.max_iters, seconds, [*waits, *facts])
        total = len(runner.built_loops[self._mode].dataloader)
        seconds = None if left is None else left * (total - self._done)
        return Status(f"{_NAMES[self._mode]} batch", self._done, total, seconds, [*waits, *speed, _memory()])

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        is_first = self._mode == "start"
        self._mode, self._done, self._moved = "train", runner.iter + 1, time.monotonic()
        if is_first:
            self._announce()

    def after_train(self, runner: Runner) -> None:
        self._announce()

    # The methods that mmengine calls in every mode, as its IterTimerHook overrides them.

    def _before_epoch(self, runner: Runner, mode: str = "train") -> None:
        self._moved = time.monotonic()
        if mode == "train":
            return
        self._mode, self._left_at, self._done, self._began = mode, self._done, 0, self._moved
        self._classes.follow(runner.built_loops[mode].evaluator)
        self._announce()

    def _after_iter(
        self, runner: Runner, batch_idx: int, *args: Any, mode: str = "train", **kwargs: Any
    ) -> None:
        if mode != "train":
            self._done, self._moved = batch_idx + 1, time.monotonic()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        self._mode, self._done = "train" if self._left_at else "start", self._left_at
        self._moved = time.monotonic()
        self._eval_seconds = self._moved - self._began
        self._metrics = scalars_of(metrics)
        if not is_main_process() or not self._metrics:
            return
        screen, title = screen_of(runner.logger), f"Validation after step {runner.iter:,}"
        if screen.is_live:
            screen.say(metrics_table(title, {"now": self._metrics}))
        else:
            parts = [f"{name} {x:.4g}" for name, x in self._metrics.items()]
            screen.say(Text(f"{time.strftime('%H:%M:%S')} {title}: {', '.join(parts)}"))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        if is_main_process():
            screen_of(runner.logger).say(metrics_table("Test", {"result": scalars_of(metrics)}))
            self.show_classes(runner)

    def show_classes(self, runner: Runner) -> None:
        """Show the results of each class of the last evaluation, unless there are hundreds."""
        found = self._classes.found
        if found and max(map(len, found.values())) <= _MOST_CLASSES:
            screen_of(runner.logger).say(class_table("Each class", self._classes.classes, found))

    def _announce(self) -> None:
        if self._display is not None:
            self._display.announce()

    def _found(self, runner: Runner) -> Iterator[str]:
        for name, text in (("loss", "loss {:.4g}"), ("base_lr", "lr {:.2e}"), ("lr", "lr {:.2e}")):
            if name == "lr" and "train/base_lr" in runner.message_hub.log_scalars:
                continue
            value = mean_of(runner, f"train/{name}", WINDOW if name == "loss" else 1)
            if value is not None:
                yield text.format(value)
            if name == "loss":
                yield from self._main_metric(runner)

    def _main_metric(self, runner: Runner) -> Iterator[str]:
        watched = [
            x
            for hook in runner.hooks
            if isinstance(hook, CheckpointHook) and hook.save_best
            for x in hook.key_indicators
        ]
        name = next((x for x in [*watched, *self._metrics] if x in self._metrics), None)
        if name is None:
            return
        best = (best_of(runner).get("best") or {}).get(name)
        yield f"{name} {self._metrics[name]:.4g}" + ("" if best is None else f" (best {best:.4g})")

    def _left(self, runner: Runner) -> float | None:
        each = mean_of(runner, "train/time")
        if each is None or not math.isfinite(each):
            return None
        validations = _validations_left(runner, self._done) if self._eval_seconds else 0
        return each * (runner.max_iters - self._done) + self._eval_seconds * validations


@contextmanager
def progress_shown(runner: Runner) -> Iterator[None]:
    """Show the progress of a run in this block, by the hook of the list."""
    hook = next(x for x in runner.hooks if isinstance(x, ProgressHook))
    with hook.shown(runner):
        yield


def _memory() -> str:
    return f"{peak_memory() / (1 << 30):.2f} GiB"


def _speed(runner: Runner, mode: str) -> tuple[list[str], float | None]:
    """Return the speed in words, and the seconds of an iteration."""
    speed = speed_of(runner, mode)
    return ([], None) if speed is None else (speed.facts(), speed.seconds)


def _epoch(runner: Runner) -> list[str]:
    loop = runner.built_loops.get("train")
    if not isinstance(loop, EpochBasedTrainLoop):
        return []
    return [f"epoch {min(loop.epoch + 1, loop.max_epochs)}/{loop.max_epochs}"]


def _validations_left(runner: Runner, done: int) -> int:
    loops = runner.built_loops
    train = loops["train"]
    if "val" not in loops or not math.isfinite(train.val_interval):
        return 0
    by_epoch = isinstance(train, EpochBasedTrainLoop)
    now, end = (train.epoch, train.max_epochs) if by_epoch else (done, train.max_iters)
    return max(-(-end // train.val_interval) - now // train.val_interval, 0)
