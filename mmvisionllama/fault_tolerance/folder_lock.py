"""Lock of a work directory: one run at a time, and a lock that ends with the process that holds it."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from mmvisionllama.checkpoint.run_identity import present_job
from mmvisionllama.errors import LaunchError

LOCK = ".run.lock"
_POLL_SECONDS = 0.1
# That a start waits for a run which is just ending; the tasks of a job that was requeued may take longer.
_PATIENCE, _PATIENCE_OF_JOBS = 3.0, 60.0
_held: dict[tuple[int, Path], int] = {}  # how often this process has locked a folder; forked ones have not


@contextmanager
def locked(folder: Path) -> Iterator[str | None]:
    """Hold a folder, which is made if it is missing, against all other runs; the same process may nest it.

    The lock is one of POSIX on a file in the folder. It ends with its process, however that ends, and the
    processes that load data do not inherit it. On NFS it needs a lock service, which any mount has by
    default; where there is none, nothing is held.

    Yields: Why nothing could be held, None if it is.
    Raises: LaunchError: if another run holds it and keeps it for the next seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = os.getpid(), folder.resolve()
    if key in _held:
        _held[key] += 1
        try:
            yield None
        finally:
            _held[key] -= 1
        return
    with _opened(folder / LOCK) as file:
        problem = _taken(file, folder)
        _held[key] = 1
        try:
            yield problem
        finally:
            del _held[key]


def is_free(folder: Path) -> bool:
    """Whether a run has held this folder and none holds it now; False where that cannot be told."""
    if (os.getpid(), folder.resolve()) in _held:  # to close the file would end the lock of this process
        return False
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _opened(path: Path) -> IO[str]:
    # Neither truncated, since another run may hold it, nor opened through a link.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    return os.fdopen(descriptor, "r+", errors="replace")


def _taken(file: IO[str], folder: Path) -> str | None:
    end = time.monotonic() + (_PATIENCE if present_job() is None else _PATIENCE_OF_JOBS)
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except (BlockingIOError, PermissionError) as error:
            if time.monotonic() > end:
                holder = file.read(200).strip() or "another process"
                raise LaunchError(
                    f"{folder} is in use by the run of {holder}. Wait for it or end it, or choose another "
                    "folder by --work-dir"
                ) from error
            time.sleep(_POLL_SECONDS)
        except OSError as error:  # no lock service
            return f"{folder} cannot be locked ({error}): two runs in it at once would not be noticed"
    try:
        file.truncate(0)
        file.write(f"{socket.gethostname()}, pid {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M:%S}\n")
        file.flush()
    except OSError:
        pass  # a full disk: the lock holds, it only does not say by whom
    return None
