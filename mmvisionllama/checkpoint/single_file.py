"""Read one checkpoint file, of torch or of safetensors, without running code from it."""

import pickle
import re
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from safetensors import SafetensorError, safe_open

from mmvisionllama.errors import CheckpointError
from mmvisionllama.host_internals import numpy_globals


def _history_method(owner: type, name: str) -> Any:
    if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL getattr({owner!r}, {name!r})")
    return getattr(owner, name)


# What trainings put into their checkpoints besides tensors and plain containers. DeiT and DiT: the options
# of the command. mmengine: the logged scalars, which are HistoryBuffers over NumPy arrays and name their
# methods. NumPy once moved the two functions.
_HARMLESS = [
    Namespace,
    HistoryBuffer,
    (_history_method, "builtins.getattr"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("bool", "uint8", "int32", "uint32", "int64", "float32", "float64")),
    *numpy_globals(),
]
_ZIP, _LEGACY_PICKLE = b"PK\x03\x04", b"\x80\x02"


def read_file(path: Path, *, lazy: bool = False) -> dict[str, Any]:
    """Return what a file holds; for ``lazy`` and the errors see ``reading.read_checkpoint``."""
    kind = _kind_of(path)
    if kind == "safetensors":
        return _read_safetensors(path)
    content = unpickle(path, path, mmap=lazy and kind == "zip")
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; a checkpoint is a dict of weights")
    if not isinstance(meta := content.get("meta"), dict | None):
        raise CheckpointError(f"{path} is a damaged checkpoint: its 'meta' is a {type(meta).__name__}")
    return content


def _kind_of(path: Path) -> Literal["zip", "pickle", "safetensors"]:
    """Tell the format by the first bytes: a zip archive (torch >= 1.6), a bare pickle, or safetensors."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if start.startswith(_ZIP):
        try:
            is_whole = zipfile.is_zipfile(path)
        except zipfile.BadZipFile as error:
            raise CheckpointError(f"{path} is a damaged checkpoint: {error}") from error
        if not is_whole:
            raise CheckpointError(
                f"{path} ({path.stat().st_size} bytes) is cut off: its table of contents is missing. "
                "Copy or download it again"
            )
        return "zip"
    if start.startswith(_LEGACY_PICKLE):
        return "pickle"
    if start[8:9] == b"{":  # after the length of this header
        return "safetensors"
    page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    guess = "a web page" if page else "something else"
    raise CheckpointError(f"{path} is not a checkpoint but {guess}: it begins with {start[:20]!r}")


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
            return {"state_dict": weights, "meta": dict(file.metadata() or {})}
    except Exception as error:  # besides SafetensorError, whatever odd shapes and types make of it
        raise CheckpointError(
            f"{path} is a damaged checkpoint: {_told(error)}. Copy or download it again"
        ) from error


def unpickle(file: Path | IO[bytes], name: str | Path, mmap: bool = False) -> Any:
    """Return what torch saved in ``file``, which errors call ``name``."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(name, error)) from error
    except Exception as error:  # torch's reader fails on damaged bytes by almost any error
        raise CheckpointError(f"{name} is a damaged checkpoint: {_told(error)}") from error


def _refusal(path: str | Path, error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None and (damage := re.search(r"Unsupported operand.*|Unexpected .*", str(error))):
        return f"{path} is a damaged checkpoint: {damage[0]}"
    what = f"{found[1]}" if found else "something"
    return (
        f"{path} holds {what}, beyond the tensors and plain values of a checkpoint; loading it could run "
        "code. Where you trust it, save its weights alone: torch.save(model.state_dict(), path)"
    )


def _told(error: Exception) -> str:
    """Return the first line of an error, with its kind where that tells more than the text."""
    first = next(iter(str(error).splitlines()), "")
    speaks = first and isinstance(error, (RuntimeError, OSError, EOFError, SafetensorError))
    return first if speaks else f"{type(error).__name__} {first}".rstrip()
