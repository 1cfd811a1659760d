"""Tracking of a training: scalars, pictures and config go to trackers, whose faults it does not feel."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Full, Queue
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from mmengine.visualization.vis_backend import BaseVisBackend
from PIL import Image

from mmvisionllama.compat import install_extra
from mmvisionllama.errors import LaunchError
from mmvisionllama.files import read_json, write_json
from mmvisionllama.registry import SCOPE, VISBACKENDS
from mmvisionllama.reports.speed import peak_memory, speed_of
from mmvisionllama.reports.tables import scalars_of
from mmvisionllama.reports.trackers import PICTURE, TRACKERS, TrackedRun
from mmvisionllama.suggestions import did_you_mean

FOLDER = "tracking"  # in the work directory
_RUNS = "runs.json"
_WAITING = 1_000  # records that wait for a tracker at most
_AGAIN = 600.0  # seconds after which a tracker that could not begin is asked again
_LAST = 25.0  # seconds that a tracker has for the rest at the end: a job that is stopped has few
_INTERVAL = 10  # steps, where the config has no LoggerHook
_DRAWN = "curves.png"  # trackers draw curves themselves


def trackers_with(given: Any, names: str | Sequence[str]) -> list[str | dict[str, Any]]:
    """Return ``track`` of a config with more trackers; those that the config has keep its settings.

    Args:
        given: ``track`` of the config: a name, a dict with a type, or a list of these; None.
        names: Those to add, also several with commas between.
    Raises: LaunchError: for an unknown name.
    """
    found = _listed(given)
    texts = [names] if isinstance(names, str) else names
    for name in [x.strip() for text in texts for x in text.split(",")]:
        if name not in TRACKERS:
            known = ", ".join(TRACKERS)
            raise LaunchError(
                f"--track {name}: no such tracker.{did_you_mean(name, TRACKERS)} Known: {known}"
            )
        if all(_type_of(x) != _type_of(name) for x in found):
            found.append(name)
    return found


class TrackingHook(Hook):
    """Send losses, learning rates, speed, metrics, pictures of predictions and the config to trackers.

    Steps of the training are the x axis of everything. The first process alone tracks; each tracker has a
    thread of its own.

    Args:
        trackers: ``track`` of the config, see ``trackers_with``.
    """

    def __init__(self, trackers: Any) -> None:
        self._cfgs = [dict(type=_type_of(x)) if isinstance(x, str) else {**x} for x in _listed(trackers)]
        self._senders: list[_Sender] = []

    def before_train(self, runner: Runner) -> None:
        """Begin, or go on with the run of each tracker that an earlier start of this training has begun."""
        if not is_main_process():
            return
        folder = Path(runner.work_dir, FOLDER)
        run = getattr(runner, "run", None)  # mmengine's own Runner has none
        memory = _Memory(folder / _RUNS, run.run_id if run else runner.timestamp)
        intervals = (x.interval for x in runner.hooks if isinstance(x, LoggerHook))
        self._interval = next(intervals, _INTERVAL)
        name = Path(runner.cfg.filename).stem if runner.cfg.filename else runner.experiment_name
        text = getattr(runner, "config_text", None) or runner.cfg.pretty_text
        for cfg in self._cfgs:
            tracker = VISBACKENDS.build({"save_dir": str(folder), **cfg})
            sender = _Sender(tracker, memory, name, runner.iter, runner.logger)
            sender.start()
            sender.put(None, runner.iter, tracker.add_config, runner.cfg, text=text)
            self._senders.append(sender)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Send the means since the last record whenever the log gets a line, and at the end."""
        step = runner.iter + 1
        if not self._senders or (step % self._interval and step != runner.max_iters):
            return
        scalars = dict(_training_scalars(runner, self._interval))
        for sender in self._senders:
            sender.put("train", step, sender.tracker.add_scalars, scalars, step=step)

    def before_val_epoch(self, runner: Runner) -> None:
        """Note which pictures there are."""
        self._pictures = _pictures(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Send the metrics."""
        scalars = {f"val/{name}": value for name, value in scalars_of(metrics).items()}
        for sender in self._senders if scalars else ():
            sender.put("val", runner.iter, sender.tracker.add_scalars, scalars, step=runner.iter)

    def after_val(self, runner: Runner) -> None:
        """Send the pictures that the validation has drawn."""
        if not self._senders:
            return
        for path, changed in _pictures(runner).items():
            if self._pictures.get(path) == changed:
                continue
            with Image.open(path) as file:
                image = np.asarray(file.convert("RGB"))
            for sender in self._senders:
                add = sender.tracker.add_image
                sender.put(f"{PICTURE}{path.stem}", runner.iter, add, path.stem, image, step=runner.iter)

    def close(self, status: str) -> None:
        """End the runs of the trackers: the training has ``finished``, or was ``interrupted``."""
        for sender in self._senders:
            sender.close(status)
        self._senders.clear()


@contextmanager
def tracked(runner: Runner) -> Iterator[None]:
    """End the runs of trackers when this block ends, whatever ends it."""
    status = "interrupted"
    try:
        yield
        status = "finished"
    finally:
        for hook in runner.hooks:
            if isinstance(hook, TrackingHook):
                hook.close(status)


class _Sender(threading.Thread):
    """Hands what a training has to tell to one tracker, in the background.

    A tracker that cannot begin is asked again after ten minutes, unless its library is missing. What one
    refuses is said once, with what it has missed when it works again.
    """

    def __init__(self, tracker: BaseVisBackend, memory: "_Memory", name: str, step: int, logger: Any) -> None:
        kind = type(tracker)
        self.tracker = tracker
        self._short = next((short for short, x in TRACKERS.items() if x is kind), kind.__name__)
        super().__init__(name=f"tracker {self._short}", daemon=True)
        self._memory, self._run_name, self._step, self._logger = memory, name, step, logger
        self._queue: Queue[tuple[str | None, int, Callable[..., Any], tuple, dict] | None] = Queue(_WAITING)
        self._has_begun = self._is_off = self._fails = False
        self._missed, self._next_begin, self._status = 0, 0.0, ""
        try:
            if hasattr(tracker, "load"):
                tracker.load()  # here: a process that is forked during an import could not import it itself
        except ImportError as error:
            fix = install_extra("track")
            self._warn(f"Not tracked by {self._short}: {error.name or error} is not installed. Fix: {fix}")
            self._is_off = True

    def put(
        self, kind: str | None, step: int, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> None:
        """Let the thread call a function of the tracker; returns at once.

        Args:
            kind: Of the record; each kind has a step once. None: whatever was there.
        """
        try:
            if not self._is_off:
                self._queue.put_nowait((kind, step, function, args, kwargs))
        except Full:
            self._miss("it takes records slower than they come")

    def close(self, status: str) -> None:
        """Wait until everything is sent, for some seconds at most."""
        self._status = status
        end = time.monotonic() + _LAST
        while self.is_alive() and time.monotonic() < end:
            try:
                self._queue.put(None, timeout=max(end - time.monotonic(), 0))
                break
            except Full:
                continue
        self.join(max(end - time.monotonic(), 0))
        if self.is_alive():
            self._warn(
                f"{self._short}: {self._queue.qsize()} records could not be sent and are missing there"
            )

    def run(self) -> None:
        while (record := self._queue.get()) is not None:
            kind, step, function, args, kwargs = record
            try:
                if not self._begin():
                    self._missed += 1
                elif kind is None or step > self._memory.last_step(self._short, kind):
                    function(*args, **kwargs)
                    if kind is not None:
                        self._memory.note(self._short, kind, step)
            except Exception as error:  # of any library, server or disk
                self._miss(_said(error))
            else:
                self._recover()
        try:
            if self._has_begun:
                self.tracker.close(*([self._status] if hasattr(self.tracker, "begin") else []))
        except Exception as error:
            self._warn(f"{self._short}: its run was not closed: {_said(error)}")

    def _begin(self) -> bool:
        """Open the tracker, if it is time to; return whether it is open."""
        if self._has_begun or time.monotonic() < self._next_begin:
            return self._has_begun
        self._next_begin = time.monotonic() + _AGAIN
        known = self._memory.own_id(self._short)
        where, own_id, steps = type(self.tracker).__name__, known, self._memory.steps(self._short)
        try:
            if hasattr(self.tracker, "begin"):
                run = TrackedRun(self._memory.run_id, self._run_name, self._step, known)
                where, own_id = self.tracker.begin(run)
            if own_id != known:  # its run is gone, and another takes its place
                steps = {}
            if hasattr(self.tracker, "known_steps"):
                steps = self.tracker.known_steps(steps)
        except Exception as error:
            again = f"tries again in {_AGAIN / 60:.0f} minutes"
            self._warn(f"Not tracked by {self._short}: {_said(error)}. Training goes on, and {again}")
            return False
        noted = self._memory.steps(self._short).get("train", -1) if own_id == known else -1
        last = self._memory.begin(self._short, own_id, steps)
        self._has_begun = True
        self._logger.info(f"  {self._short:<11} {where}")
        if last > self._step:
            self._logger.info(
                f"{self._short} has steps {self._step + 1:,} to {last:,} from before this start and keeps "
                "them: it takes no step twice"
            )
        if last < min(noted, self._step):
            lost = f"{last + 1:,} to {min(noted, self._step):,}"
            self._logger.info(f"{self._short} lacks what was logged of steps {lost}: a kill has cut it off")
        return True

    def _miss(self, why: str) -> None:
        self._missed += 1
        if not self._fails:
            self._fails = True
            self._warn(f"{self._short}: {why}. Training goes on; what is missed there stays missing")

    def _recover(self) -> None:
        if self._has_begun and self._missed:
            plural = "s are" if self._missed > 1 else " is"
            self._logger.info(f"{self._short}: works again; {self._missed:,} record{plural} missing there")
            self._missed, self._fails = 0, False

    def _warn(self, text: str) -> None:
        self._logger.warning(text)


class _Memory:
    """What trackers have of a training, in a file of its work directory.

    Attributes:
        run_id: Of the training. What the file says of another one does not count.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self.run_id = run_id
        self._path, self._lock = path, threading.Lock()
        try:
            content = read_json(path)
            known = content["trackers"] if content["run_id"] == run_id else {}
            self._known = {
                str(name): {"id": x["id"], "steps": {str(k): int(v) for k, v in x["steps"].items()}}
                for name, x in known.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            self._known = {}  # there is none, or a damaged one

    def own_id(self, tracker: str) -> str | None:
        """Return the id of this training's run there."""
        found = self._known.get(tracker, {}).get("id")
        return found if isinstance(found, str) else None

    def last_step(self, tracker: str, kind: str) -> int:
        """Return the last step of which the tracker has this kind of record, -1 for none."""
        return self._known[tracker]["steps"].get(kind, -1)

    def steps(self, tracker: str) -> dict[str, int]:
        """Return the last step that was noted, of each kind of record."""
        return dict(self._known.get(tracker, {}).get("steps", {}))

    def begin(self, tracker: str, own_id: str | None, steps: Mapping[str, int]) -> int:
        """Note the run of a tracker and what it has; return its last step of the training."""
        self._write(tracker, {"id": own_id, "steps": {**steps}})
        return steps.get("train", -1)

    def note(self, tracker: str, kind: str, step: int) -> None:
        """Note that the tracker has a record."""
        known = self._known[tracker]
        self._write(tracker, {**known, "steps": {**known["steps"], kind: step}})

    def _write(self, tracker: str, known: Mapping[str, Any]) -> None:
        with self._lock:
            self._known[tracker] = {**known}
            write_json(self._path, {"run_id": self.run_id, "trackers": self._known})


def _listed(given: Any) -> list[str | dict[str, Any]]:
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _type_of(tracker: str | Mapping[str, Any]) -> str:
    if isinstance(tracker, str):
        return f"{SCOPE}.{TRACKERS[tracker].__name__}"
    return str(getattr(tracker["type"], "__name__", tracker["type"]))


def _training_scalars(runner: Runner, window: int) -> Iterator[tuple[str, float]]:
    for name, buffer in runner.message_hub.log_scalars.items():
        if name.startswith("train/") and len(buffer.data[0]):
            is_rate = name.endswith(("lr", "momentum"))
            yield name, float(buffer.current() if is_rate else buffer.mean(min(window, len(buffer.data[0]))))
    if (speed := speed_of(runner, "train")) is not None:
        yield from ((f"train/{name}", value) for name, value in speed.scalars().items())
    yield "train/memory_gib", peak_memory() / (1 << 30)


def _pictures(runner: Runner) -> dict[Path, int]:
    """Return the pictures in the work directory, with the times of their last change."""
    found = Path(runner.work_dir).glob("*.png")
    return {path: path.stat().st_mtime_ns for path in found if path.name != _DRAWN}


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text if len(text) <= 200 else f"{text[:200]}...").rstrip(".") or type(error).__name__
