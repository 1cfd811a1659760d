"""Atomic writes, JSON and SHA-256."""

import hashlib
import json
import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mmvisionllama.errors import UserError

_CHUNK = 1 << 24
_SETTLED = 5  # seconds
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file of the same suffix that takes the place of ``path`` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        make_new(temporary)
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def make_new(path: Path) -> None:
    """Make an empty file, in the place of what a killed process or somebody else may have left there.

    A link of that name is removed, never followed: its target is neither truncated nor written to.
    """
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write what ``as_json`` makes of ``content``, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(as_json(content))


def as_json(content: Mapping[str, Any]) -> str:
    """Return ``content`` as JSON; NaN and infinity, which JSON does not have, become null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def plain_float(number: Any) -> float:
    """Return a number as a Python float that reads like it: 80.53, not the 80.52999877929688 of a float32."""
    return float(str(number)) if isinstance(number, np.floating) else float(number)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(x) for x in value]
    if value is None or isinstance(value, (str, int)):
        return value
    number = plain_float(value)
    return number if math.isfinite(number) else None


def from_here(path: Path) -> str:
    """Return a path from the current directory if it lies below it, else the absolute path."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def why_no_file(path: Path) -> str | None:
    """Say what is at ``path`` instead of a file, e.g. ``a socket``; None if it is one, or a link to one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if os.path.islink(path):  # which takes a name that is too long, too
            return "a link that leads to no file"
        return "missing" if isinstance(error, FileNotFoundError) else f"out of reach ({error})"
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_one, kind in _KINDS if is_one(mode)), "no file")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises: ValueError: if it is no file, cannot be read or holds no JSON; the text says why.
    """
    if problem := why_no_file(path):
        raise ValueError(f"it is {problem}")
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the JSON object that a command of ours has left in a file, None if there is nothing.

    Raises: UserError: if it is damaged, naming the file.
    """
    if not os.path.lexists(path):
        return None
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not an object")
    except ValueError as error:
        raise damaged(path, str(error)) from error
    return content


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a log, one a line; a last line that a kill has cut off is none.

    Raises: UserError: if it is damaged, naming the file.
    """
    if problem := why_no_file(path):
        raise damaged(path, f"it is {problem}")
    records = []
    try:
        lines = path.read_text().splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            if number == len(lines) and not line.endswith("\n"):
                break
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"line {number} holds a {type(record).__name__}, not an object")
            records.append(record)
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    except RecursionError as error:
        raise damaged(path, "it is nested too deeply") from error
    return records


def damaged(path: Path, why: str) -> UserError:
    """Say that a file which a command of ours has left is damaged, and what to do."""
    return UserError(f"{path} is damaged: {why}. Remove it, or put a good copy in its place")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; one that nobody has changed for seconds is read once in a process."""
    state = path.stat()
    # Clocks of file systems are coarse: of a file that was just written they may not tell the next change.
    if time.time() - state.st_mtime < _SETTLED:
        return _read_sha256(path)
    return _known_sha256(
        path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
    )


def _read_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@lru_cache(maxsize=1024)
def _known_sha256(path: Path, *state: int) -> str:
    return _read_sha256(path)
