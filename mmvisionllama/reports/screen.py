"""The screen of a run: what this package and the user's code say; everything else is in the log file.

Libraries talk through loggers, warnings and prints. All of it goes to the log file of the run, as soon as
that exists, and not to the screen, where each warning is one to act on. Errors of all of them are shown.
"""

import io
import logging
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from inspect import currentframe
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any, TextIO

from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from rich.console import Console, RenderableType
from rich.text import Text

_PACKAGE = __name__.partition(".")[0]
_PASS_ON = ("logging", "warnings", "mmengine.logging", __name__)  # they speak for their callers
_DATE = "%Y/%m/%d %H:%M:%S"


class Screen(Console):
    """A console of rich whose reader may leave: the run goes on."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.process = os.getpid()

    @property
    def is_live(self) -> bool:
        """Whether something can be redrawn there: a terminal that can move its cursor."""
        return self.is_terminal and not self.is_dumb_terminal

    def on_broken_pipe(self) -> None:
        """Fall silent."""
        self.quiet = True
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())  # else Python fails when it flushes at its end

    def say(self, what: RenderableType) -> None:
        """Show something, above a live display if there is one; a full disk silences the screen."""
        try:
            # A loading process may have been forked while another thread held the console's lock.
            if os.getpid() == self.process:
                self.print(what, soft_wrap=isinstance(what, Text))
            else:
                self.file.write(f"{what}\n")
            self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()
        except OSError:
            self.quiet = True


class ScreenHandler(logging.Handler):
    """Shows the records that are meant for the screen.

    Args:
        verbose: Show all records, as in the log file.
    """

    def __init__(self, screen: Screen, verbose: bool) -> None:
        super().__init__()
        self.screen, self.verbose = screen, verbose
        self.setFormatter(MMFormatter(color=False, datefmt=_DATE) if verbose else _Plain())

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show a record: ``extra={"in_log_alone": True}`` keeps one of our own away."""
        if self.verbose or record.levelno >= logging.ERROR:
            return True
        return not getattr(record, "in_log_alone", False) and not is_library(speaker())

    def emit(self, record: logging.LogRecord) -> None:
        self.screen.say(Text(self.format(record)))


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


class _Held(MemoryHandler):
    """Holds what is said before the log file exists, then hands everything to it."""

    def __init__(self, screen: ScreenHandler) -> None:
        super().__init__(capacity=sys.maxsize, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        # mmengine's file takes warnings of one template, such as Python 3.10's own "%s", for repetitions.
        record.msg, record.args = record.getMessage(), None
        super().emit(record)

    def follow(self, target: logging.Handler) -> None:
        self.setTarget(target)
        self.capacity = 1
        self.flush()


class _Prints(io.TextIOBase):
    """Standard output or error in which the prints of libraries go to a logger, whole lines of both."""

    def __init__(self, file: TextIO, screen: Screen, logger: logging.Logger | None) -> None:
        self.rich_proxied_file = file  # where the console writes
        self._screen, self._logger = screen, logger
        self._begun = {True: "", False: ""}  # what a library, or anyone else, has not ended yet

    def write(self, text: str) -> int:
        by_library = self._logger is not None and is_library(speaker())
        *lines, self._begun[by_library] = (self._begun[by_library] + text).split("\n")
        for line in lines:
            if by_library:
                self._logger.info(line.rstrip())
            else:
                self._show(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        rest, self._begun[False] = self._begun[False], ""
        if rest:
            self._show(rest)
        self.rich_proxied_file.flush()

    def __getattr__(self, name: str) -> Any:
        if name == "rich_proxied_file":  # not there yet
            raise AttributeError(name)
        return getattr(self.rich_proxied_file, name)

    def fileno(self) -> int:
        return self.rich_proxied_file.fileno()

    def isatty(self) -> bool:
        return self.rich_proxied_file.isatty()

    @property
    def encoding(self) -> str:
        return self.rich_proxied_file.encoding

    @property
    def errors(self) -> str | None:
        return self.rich_proxied_file.errors

    def _show(self, text: str) -> None:
        if self._screen.is_live and self.isatty() and os.getpid() == self._screen.process:
            self._screen.print(Text.from_ansi(text, end=""), end="\n" if text.endswith("\n") else "")
        else:
            self.rich_proxied_file.write(text)


@contextmanager
def shown(*, verbose: bool = False, first: bool = True) -> Iterator[Screen]:
    """Decide what the screen shows of a command, within this block; inside another one, that has decided.

    Args:
        verbose: Show all that goes to the log file too.
        first: False in all processes of a run but the first one: they show errors alone.
    """
    if (outer := _held()) is not None:
        yield outer.screen.screen
        return
    screen = Screen()
    handler = ScreenHandler(screen, verbose)
    if not first:
        handler.setLevel(logging.ERROR)
    held = _Held(handler)
    root, early = logging.getLogger(), MMLogger.get_current_instance()
    early_handlers, early.handlers = early.handlers, [held, handler]
    prints = logging.getLogger(f"{_PACKAGE}.prints")
    prints.setLevel(logging.INFO)
    for each in (held, handler):
        root.addHandler(each)
    logging.captureWarnings(True)
    wrappers = [(x, x.errors) for x in (sys.stdout, sys.stderr) if isinstance(x, io.TextIOWrapper)]
    for wrapper, _ in wrappers:
        wrapper.reconfigure(errors="backslashreplace")  # not every terminal has every letter
    out, error = (
        None if file is None else _Prints(file, screen, None if verbose else prints)
        for file in (sys.stdout, sys.stderr)
    )
    try:
        with redirect_stdout(out), redirect_stderr(error):
            yield screen
    finally:
        logging.captureWarnings(False)
        for each in (held, handler):
            root.removeHandler(each)
        early.handlers = early_handlers
        for file in (out, error):
            if file is not None:
                file.flush()
        for wrapper, errors in wrappers:
            wrapper.reconfigure(errors=errors)


def show_log(logger: MMLogger) -> MMLogger:
    """Let the log of a run go to the screen as ``shown`` has decided, and what was said before into its file.

    Without that block the logger stays as mmengine has made it.
    """
    if (held := _held()) is None:
        return logger
    for handler in [x for x in logger.handlers if type(x) is logging.StreamHandler]:
        held.screen.setLevel(handler.level)
        logger.removeHandler(handler)
    logger.addHandler(held.screen)
    files = [x for x in logger.handlers if isinstance(x, logging.FileHandler)]
    held.follow(files[0] if files else logging.NullHandler())
    return logger


def screen_of(logger: logging.Logger) -> Screen:
    """Return the screen that a logger shows its records on, else a new one."""
    found = (x.screen for x in logger.handlers if isinstance(x, ScreenHandler))
    return next(found, None) or Screen()


def _held() -> _Held | None:
    return next((x for x in logging.getLogger().handlers if isinstance(x, _Held)), None)


def speaker() -> str:
    """Return the module that has something to say, whatever it says it through."""
    frame = currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PASS_ON):
        frame = frame.f_back
    return "" if frame is None else frame.f_globals.get("__name__", "")


@cache
def is_library(module: str) -> bool:
    """Whether a module belongs to what is installed, this package excepted: Python and its packages."""
    top = module.partition(".")[0]
    if top == _PACKAGE or top == "__main__":
        return False
    file = getattr(sys.modules.get(top), "__file__", None)
    roots = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return file is None or any(Path(file).is_relative_to(root) for root in roots)
