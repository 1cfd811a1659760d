"""Disk faults that a training survives: what it cannot write it reports once, and tries again later."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class DiskFaults:
    """What a training could not write of its reports, logs, pictures and notes, by kind.

    A full disk, a read-only or a vanished folder are errors of the system, ``OSError``; no other error is
    survived. Checkpoints have rules of their own, see ``SafeCheckpointHook``.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._failing: set[str] = set()

    @contextmanager
    def survived(self, what: str) -> Iterator[None]:
        """Let the block fail on the disk; say so the first time, and say when it works again."""
        try:
            yield
        except OSError as error:
            if what not in self._failing:
                self._failing.add(what)
                self._logger.error(f"{what}: {error}. Training goes on, and tries again at the next interval")
        else:
            if what in self._failing:
                self._failing.remove(what)
                self._logger.info(f"{what}: written again")


def survive_in_logs(logger: logging.Logger) -> None:
    """Let the log files of a run say once, on standard error, that they cannot be written.

    Python would show a traceback for every line. What could not be written waits in memory for the next line.
    """
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = _said_once(handler)


def _said_once(handler: logging.FileHandler) -> Callable[[logging.LogRecord], None]:
    said = False

    def say(record: logging.LogRecord) -> None:
        nonlocal said
        if not said and sys.stderr is not None:
            said = True
            try:
                sys.stderr.write(f"{handler.baseFilename}: {sys.exc_info()[1]}. Training goes on\n")
            except OSError:
                return  # nobody is there to be told

    return say
