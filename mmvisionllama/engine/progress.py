"""How far a long piece of work is: a bar on a terminal, lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

_LINE_SECONDS = 30.0


@contextmanager
def progress(what: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of items that were done since the last call.

    Where the output is no terminal, a line with the time left is printed now and then instead of a bar.

    Args:
        shown: False: show nothing, as all processes but the first one should.
    """
    console = Console(highlight=False, soft_wrap=True)
    if not shown or not console.is_terminal:
        yield _Lines(what, total, console).advance if shown else lambda count: None
        return
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bars:
        task = bars.add_task(what, total=total)
        yield lambda count: bars.advance(task, count)


class _Lines:
    def __init__(self, what: str, total: int, console: Console) -> None:
        self.what, self.total, self.console = what, total, console
        self.done, self.start = 0, time.monotonic()
        self.last = self.start

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if self.done < self.total and now - self.last < _LINE_SECONDS:
            return
        self.last = now
        left = (now - self.start) / max(self.done, 1) * (self.total - self.done)
        self.console.print(f"{self.what}: {self.done:,} of {self.total:,}, eta {_clock(left)}")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
