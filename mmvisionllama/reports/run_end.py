"""End of a run on the screen: metrics, checkpoints, pictures, and the next command to type."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvisionllama.config.config_files import typed_command
from mmvisionllama.files import from_here
from mmvisionllama.reports.progress import clock
from mmvisionllama.reports.report_hook import validations
from mmvisionllama.reports.run_progress import ProgressHook
from mmvisionllama.reports.screen import screen_of
from mmvisionllama.reports.summary import best_of
from mmvisionllama.reports.tables import metrics_table
from mmvisionllama.reports.tracking import FOLDER as TRACKING


class RunEndHook(Hook):
    """Say at the end of a training or test what came out, where it lies, and how to go on."""

    def __init__(self) -> None:
        self._trained = False
        self._start, self._started = time.monotonic(), time.time()

    def before_train(self, runner: Runner) -> None:
        self._trained, self._first = True, runner.iter
        self._start = time.monotonic()

    def after_run(self, runner: Runner) -> None:
        if not is_main_process():
            return
        if self._trained:
            steps, seconds = runner.iter - self._first, time.monotonic() - self._start
            runner.logger.info(f"Finished: {steps:,} steps in {clock(seconds)}")
            self._show_metrics(runner)
        lines = [*(_checkpoints(runner) if self._trained else ()), *self._pictures(runner)]
        if self._trained and (command := _test_command(runner)) is not None:
            lines.append(f"  next        {command}")
        if lines:
            runner.logger.info("\n".join(lines))

    def _show_metrics(self, runner: Runner) -> None:
        past = validations(runner)
        if not past:
            return
        best = best_of(runner)
        columns = {f"step {past[-1]['step']:,}": past[-1]["metrics"]}
        if best.get("best") and best["best_step"] != past[-1]["step"]:
            columns[f"best, step {best['best_step']:,}"] = best["best"]
        screen_of(runner.logger).say(metrics_table("Validation", columns))
        for hook in runner.hooks:
            if isinstance(hook, ProgressHook):
                hook.show_classes(runner)

    def _pictures(self, runner: Runner) -> Iterator[str]:
        folder = Path(runner.work_dir)
        files = [x for x in sorted(folder.rglob("*.png")) if not x.is_relative_to(folder / TRACKING)]
        new = [from_here(x) for x in files if x.stat().st_mtime >= self._started - 1]
        if new:
            yield f"  pictures    {', '.join(new)}"


def _checkpoints(runner: Runner) -> Iterator[str]:
    best, last = best_of(runner).get("best_checkpoint"), runner.message_hub.runtime_info.get("last_ckpt")
    for name, path in (("best", best), ("last", last)):
        if path:
            yield f"  {name}        {from_here(Path(path))}"


def _test_command(runner: Runner) -> str | None:
    """Return the command that tests the best checkpoint, else the last, by the config that the run leaves."""
    found = best_of(runner).get("best_checkpoint") or runner.message_hub.runtime_info.get("last_ckpt")
    if found is None or runner.cfg.get("test_dataloader") is None:
        return None
    config = Path(runner.work_dir, Path(runner.cfg.filename).name)
    return shlex.join([*typed_command("test"), from_here(config), from_here(Path(found))])
