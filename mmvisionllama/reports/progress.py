"""Progress of a long job: a live bar on a terminal, lines in a log."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mmvisionllama.reports.screen import Screen, screen_of

LINE_SECONDS = 30.0
_DRAWS_PER_SECOND = 2.0
_WIDE = 60  # columns


@dataclass(frozen=True)
class Status:
    """How far a job is.

    Attributes:
        done, total: In the unit that ``what`` names; a total of 0 is not known.
        left: Seconds to its end, None if that is not known.
        facts: What else is worth saying, most important first.
    """

    what: str
    done: int = 0
    total: int = 0
    left: float | None = None
    facts: Sequence[str] = ()

    def line(self) -> str:
        """Return everything in one line."""
        count = [f"{self.done:,} of {self.total:,}"] if self.total else []
        left = [] if self.left is None else [f"{clock(self.left)} left"]
        return ", ".join([" ".join([self.what, *count]), *self.facts, *left])

    def bar(self, width: int) -> RenderableType:
        """Return it as a bar with the facts below, for a terminal of so many columns."""
        if not self.total:
            return Text(", ".join([self.what, *self.facts]), style="dim")
        cells = [
            Text(self.what, style="bold"),
            ProgressBar(total=self.total, completed=self.done),
            Text(f"{self.done:,}/{self.total:,}"),
        ]
        if self.left is not None:
            cells.append(Text(clock(self.left) + (" left" if width >= _WIDE else "")))
        grid = Table.grid(padding=(0, 1), expand=True)
        for cell in cells:
            is_bar = isinstance(cell, ProgressBar)
            grid.add_column(ratio=1 if is_bar else None, no_wrap=True)
        grid.add_row(*cells)
        return Group(grid, Text(", ".join(self.facts), style="dim"))


class Lines:
    """Lines in a log: one when asked, and one whenever 30 s have passed without, though nothing has moved."""

    def __init__(self, screen: Screen, status: Callable[[], Status]) -> None:
        self._screen, self._status = screen, status
        self._last: str | None = None
        self._asked, self._ended = threading.Event(), threading.Event()

    def __enter__(self) -> "Lines":
        self._thread = threading.Thread(target=self._wait, name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._asked.set()
        self._thread.join()

    def announce(self) -> None:
        """Show a line now, unless it would be the last one again."""
        self._asked.set()
        line = self._status().line()
        if line != self._last:
            self._say(line)

    def _wait(self) -> None:
        while not self._ended.is_set():
            if self._asked.wait(LINE_SECONDS):
                self._asked.clear()
            else:
                self._say(self._status().line())

    def _say(self, line: str) -> None:
        self._last = line
        self._screen.say(Text(f"{time.strftime('%H:%M:%S')} {line}"))


class Bar:
    """A bar at the foot of a terminal, drawn twice a second, that what is said scrolls above."""

    def __init__(self, screen: Screen, status: Callable[[], Status]) -> None:
        self._live = Live(
            console=screen,
            get_renderable=lambda: status().bar(screen.width),
            refresh_per_second=_DRAWS_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # done by the screen
            redirect_stderr=False,
        )

    def __enter__(self) -> "Bar":
        with suppress(OSError):
            self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # a terminal that is gone
            self._live.stop()

    def announce(self) -> None:
        """Nothing: it is drawn all the time."""


def display(screen: Screen, status: Callable[[], Status]) -> Bar | Lines:
    """Return what shows ``status()`` while it is entered; other threads call that."""
    return Bar(screen, status) if screen.is_live else Lines(screen, status)


@contextmanager
def progress(what: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of items that were done since the last call.

    Args:
        shown: False: show nothing, as all processes but the first one should.
    """
    if not shown:
        yield lambda count: None
        return
    done, start = 0, time.monotonic()

    def status() -> Status:
        left = (time.monotonic() - start) / done * (total - done) if done else None
        return Status(what, done, total, left)

    def advance(count: int) -> None:
        nonlocal done
        is_first, done = not done, done + count
        if is_first or done >= total:
            shown_as.announce()

    with display(screen_of(logging.getLogger()), status) as shown_as:
        yield advance


def clock(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
