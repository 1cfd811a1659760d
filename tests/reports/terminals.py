"""Run a function in a process whose standard streams are a terminal, and return what that was sent."""

import errno
import fcntl
import io
import os
import pty
import struct
import sys
import termios
import traceback
from collections.abc import Callable


def on_terminal(
    body: Callable[[], object], *, columns: int = 100, encoding: str = "utf-8", **environ: str
) -> str:
    """Run ``body`` in a fork of this process on a terminal of so many columns.

    Raises: AssertionError: if it fails, with all that the terminal was sent.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        _run(body, columns, encoding, environ)
    sent = b""
    while chunk := _read(terminal):
        sent += chunk
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    text = sent.decode(encoding)
    assert status == 0, text
    return text


def _run(body: Callable[[], object], columns: int, encoding: str, environ: dict[str, str]) -> None:
    status = 1
    try:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
            os.environ.pop(name, None)
        os.environ.update({"TERM": "xterm-256color", **environ})
        options = dict(encoding=encoding, errors="strict", line_buffering=True)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True, **options)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True, **options)
        body()
        if sys.stdout is not None:
            sys.stdout.flush()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError as error:  # Linux: the other end is closed
        if error.errno != errno.EIO:
            raise
        return b""
