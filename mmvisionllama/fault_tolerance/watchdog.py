"""Watchdog: ends a process that hangs, and logs where it or an exception was."""

import faulthandler
import logging
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter

from mmvisionllama.errors import ExitStatus, TrainingEnded, UserError
from mmvisionllama.fault_tolerance.stopping import SIGNALS
from mmvisionllama.host_internals import frames_of_threads

_STACK_SIGNAL = signal.SIGUSR2  # tells a loading process to show its stack
_NAME = "watchdog"
_END = 0  # in the pipe, beside the numbers of signals
_PATIENCE_AFTER_SIGNAL = 10.0  # seconds; launchers kill half a minute after it
_LOG_SECONDS = 5.0  # that a log on a broken file system may take
_BUSY = 0.02  # the share of the time in which a start that moves computes
_STACK_SECONDS = 0.5  # for loading processes to show their stacks

# Else a fork that trains waits for ever: it would end a thread of this one's timer, which no fork has. The
# watch sets the timer anew within seconds.
os.register_at_fork(before=faulthandler.cancel_dump_traceback_later)


class Watchdog:
    """A thread that ends its process when nothing has moved for too long, wherever it is stuck.

    Before that it logs rank, step, phase and the stacks of all threads, those of loading processes too. It
    also logs them where a signal to stop has no effect within ten seconds, for a launcher may soon kill. Time
    in which the process is suspended does not count.

    Args:
        timeout: Seconds after which collectives of this run fail. The process ends a tenth earlier, so that
            it has spoken before.
        place: Says in words which step the run is at.
        logger: Logger of the run.
        told: Is told why the process ends, in words.
        starting: Rank and number of processes, where it watches a start, before they join. Computing counts
            as moving there: while data are checked and a model is built, nobody tells how far they are.
            Exceptions of a start are told by others.
    """

    def __init__(
        self,
        timeout: float,
        place: Callable[[], str],
        logger: logging.Logger,
        *,
        told: Callable[[str], None] | None = None,
        starting: tuple[int, int] | None = None,
    ) -> None:
        self.phase = "start"
        self._told, self._starting = told, starting
        self._timeout = timeout
        self._pause = min(timeout / 20, 5.0)
        self._place = place
        self._logger = logger
        self._moves = 0

    def enter(self, phase: str) -> None:
        """Note that the process has moved, and what it does from now on."""
        self.phase = phase
        self._moves += 1

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this block; log an exception that leaves it."""
        self.enter("start")
        if not faulthandler.is_enabled():
            faulthandler.enable(file=2)  # the stack of a process that C code aborts
        with _signals_in_a_pipe() as (reading, writing):
            thread = threading.Thread(target=self._watch, args=(reading,), name=_NAME, daemon=True)
            thread.start()
            try:
                yield
            except Exception as error:
                if self._starting is None and not isinstance(error, (TrainingEnded, UserError)):
                    text = f"ENDED by {type(error).__name__}: {error}\n{self._where()}"
                    self._logger.error(text, exc_info=True)
                raise
            finally:
                os.write(writing, bytes([_END]))
                thread.join()
                faulthandler.cancel_dump_traceback_later()

    def _watch(self, pipe: int) -> None:
        last, moves, computed, idle, asked = time.monotonic(), self._moves, _computed(), 0.0, None
        while True:
            # This thread stands still while C code holds the interpreter. A process that is alone is then not
            # ended: it may just have been suspended.
            file = _log_file(self._logger)
            faulthandler.dump_traceback_later(self._timeout, exit=get_world_size() > 1, file=file)
            ready, _, _ = select.select([pipe], [], [], self._pause)
            for number in os.read(pipe, 1024) if ready else b"":
                if number == _END:
                    return
                if number in SIGNALS and asked is None:
                    asked, idle = signal.Signals(number).name, 0.0
            now, computing = time.monotonic(), _computed()
            is_busy = self._starting is not None and computing - computed > _BUSY * (now - last)
            has_moved = moves != self._moves or is_busy
            idle = 0.0 if has_moved else idle + min(now - last, 2 * self._pause)
            last, moves, computed = now, self._moves, computing
            if idle > 0.9 * self._timeout:
                self._end(idle)
            if asked is not None and idle > _PATIENCE_AFTER_SIGNAL:
                self._say(f"NOT YET STOPPED: nothing has moved for {idle:.0f} s after {asked}")
                asked = None

    def _end(self, idle: float) -> None:
        what = f"STALLED: nothing has moved for {idle:.0f} s"
        self._say(what)
        if self._told is not None:
            _within_limit(self._told, what)
        for child in multiprocessing.active_children():
            child.kill()  # one that hangs would not see that its parent is gone
        os._exit(ExitStatus.STALLED)

    def _say(self, what: str) -> None:
        """Log facts and stacks, not waiting for a log that hangs itself."""
        text = f"{what}\n{self._where()}\n{_stacks()}"
        if not _within_limit(self._logger.error, text):
            os.write(2, f"{text}\n".encode())
        children = multiprocessing.active_children()
        for child in children:
            os.kill(child.pid, _STACK_SIGNAL)
        if children:
            time.sleep(_STACK_SECONDS)

    def _where(self) -> str:
        rank, count = self._starting or (get_rank(), get_world_size())
        process = f"rank {rank} of {count} ({socket.gethostname()}, pid {os.getpid()})"
        return f"{process}, {self._place()}, phase: {self.phase}"


def _computed() -> float:
    """Return the seconds that the other threads of this process have computed."""
    return time.process_time() - time.thread_time()


def _within_limit(write: Callable[[str], None], text: str) -> bool:
    """Write into a file, and go on after some seconds if the file system hangs; say whether it has ended."""
    writer = threading.Thread(target=write, args=(text,), name=_NAME, daemon=True)
    writer.start()
    writer.join(_LOG_SECONDS)
    return not writer.is_alive()


def phase_after(point: str, *, is_last: bool = False) -> str:
    """Name what a run does between the hooks of one point and those of the next.

    Args:
        point: Name of the hook's method, e.g. ``before_train_iter``.
        is_last: Whether this was the last batch.
    """
    if point in _PHASES:
        return _PHASES[point]
    place, mode, *rest = point.split("_")
    name = {"train": "training", "val": "validation"}.get(mode, mode)
    if rest == ["iter"] and place == "before":
        return f"{name} step"
    if rest == ["iter"] and is_last:
        return f"{name} metrics"
    if rest == ["iter"] or place == "before":
        return f"loading of {name} data"
    return f"end of the {name}"


_PHASES = {
    "before_run": "loading of weights",
    "after_load_checkpoint": "start",
    "after_val": "loading of training data",
    "after_run": "end",
}


def keep_errors(logger: logging.Logger, path: Path) -> None:
    """Give a process a file for its errors if it has no log file: mmengine opens one in the first alone."""
    if any(isinstance(handler, logging.FileHandler) for handler in logger.handlers):
        return
    handler = logging.FileHandler(path, delay=True)
    handler.setLevel(logging.ERROR)
    handler.setFormatter(MMFormatter(color=False, datefmt="%Y/%m/%d %H:%M:%S"))
    logger.addHandler(handler)


def show_stack_on_request() -> None:
    """Let this loading process write its stack into the log when the watchdog of its parent asks for it."""
    faulthandler.register(_STACK_SIGNAL, file=_log_file(MMLogger.get_current_instance()))


def _log_file(logger: logging.Logger) -> int:
    """Return the descriptor of the log file, or that of standard error."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            return handler.stream.fileno()
    return 2


def _stacks() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = {names.get(ident, str(ident)): x for ident, x in frames_of_threads()}
    frames.pop(_NAME, None)
    first = sorted(frames, key=lambda name: name != "MainThread")
    return "".join(f"Stack of {name}:\n{''.join(traceback.format_stack(frames[name]))}" for name in first)


@contextmanager
def _signals_in_a_pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe into which the number of every signal is written at once, even while C code runs."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False) if is_main else -1
    try:
        yield reading, writing
    finally:
        if is_main:
            signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
