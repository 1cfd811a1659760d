"""A disk of a few hundred kilobytes, which can really be full."""

import ctypes
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x20000
_FILLER = "filler"


def on_small_disk(folder: Path, size: int, work: Callable[[], Any]) -> Any:
    """Return what ``work()`` returns in a forked process that has a small disk at ``folder``.

    The disk is of that process and its children alone, in name spaces of their own, so that no rights are
    needed.

    Raises: OSError: if this machine allows no such name spaces.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _mount(folder, size)
            found = work()
        except BaseException as error:
            traceback.print_exc()
            found = error
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(found, pipe)
        sys.stderr.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pickle.load(pipe)
    os.waitpid(child, 0)
    if isinstance(found, BaseException):
        raise found
    return found


def fill(folder: Path, free: int) -> None:
    """Take the space of a disk except for ``free`` bytes, by a file that ``make_room`` removes."""
    with (folder / _FILLER).open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(file.tell() - free, 0))


def make_room(folder: Path) -> None:
    (folder / _FILLER).unlink()


def _mount(folder: Path, size: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    _require(libc.unshare(_NEW_USER | _NEW_MOUNTS), folder)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path("/proc/self", name).write_text(text)
    _require(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()), folder)


def _require(status: int, folder: Path) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
