"""Read a checkpoint without ever running code from it."""

import pickle
import re
import urllib.error
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmvisionllama.names import nearest_names


def _history_method(owner: type, name: str) -> Any:
    if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL getattr({owner!r}, {name!r})")
    return getattr(owner, name)


# What mmengine puts into its checkpoints besides tensors and plain containers: the logged scalars, which
# are HistoryBuffers over NumPy arrays and name their methods. NumPy once moved the two functions.
_HARMLESS = [
    HistoryBuffer,
    (_history_method, "builtins.getattr"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("bool", "uint8", "int32", "uint32", "int64", "float32", "float64")),
    *(
        (function, f"numpy.{core}.multiarray.{function.__name__}")
        for core in ("core", "_core")
        for function in (np._core.multiarray._reconstruct, np._core.multiarray.scalar)
    ),
]
_ZIP, _LEGACY_PICKLE = b"PK\x03\x04", b"\x80\x02"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: missing, damaged, unsafe or of another architecture."""


def read_checkpoint(path: str | Path, *, lazy: bool = False) -> dict[str, Any]:
    """Return what a checkpoint file holds, its tensors on the CPU.

    Args:
        path: A file, or an ``http(s)`` address, which torch downloads into its cache once.
        lazy: Map the file into memory instead of reading it, to look at little of it. Nobody may write into
            the file while the tensors are in use.
    Raises: CheckpointError: if it does not exist (with the nearest names), is damaged, is no checkpoint, or
        holds anything but tensors, plain values and what mmengine is known to save.
    """
    with torch.serialization.safe_globals(_HARMLESS):
        if _is_url(path):
            return _download(str(path))
        path = Path(path).expanduser()
        is_zip = _check_is_checkpoint(path)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=lazy and is_zip)
        except pickle.UnpicklingError as error:
            raise CheckpointError(_refusal(path, error)) from error
        except (RuntimeError, EOFError, OSError) as error:
            raise CheckpointError(f"{path} is a damaged checkpoint: {error}") from error
    return _require_dict(path, content)


def make_mmengine_read_safely() -> None:
    """Let mmengine and the hosts read checkpoints by ``read_checkpoint`` for the rest of the process.

    Their own loader runs the code in a file that it cannot read safely.
    """

    def load_from_safe_reader(filename: str, map_location: Any = None) -> dict[str, Any]:
        # Whoever asks copies the tensors into a model or an optimizer, which keep their device.
        return read_checkpoint(filename)

    CheckpointLoader.register_scheme(("", "http://", "https://"), load_from_safe_reader, force=True)


def weights_of(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Return the model's weights where mmengine looks for them: below ``state_dict``, else at the top.

    Raises: CheckpointError: if there are none, naming what ``path`` holds instead.
    """
    found = checkpoint.get("state_dict", checkpoint)
    weights = {k.removeprefix("module."): v for k, v in found.items() if isinstance(v, Tensor)}
    if not found:
        raise CheckpointError(f"{path} holds no weights: it is empty. Save model.state_dict() in it")
    if not weights:
        raise CheckpointError(
            f"{path} has no weights at its top level or below 'state_dict'; it has "
            f"{', '.join(map(repr, found))}. Save the part that holds the weights as a file of its own"
        )
    return weights


def require_file(path: str | Path) -> Path:
    """Return ``path`` if it is a file, else raise a CheckpointError that names the files nearest to it."""
    path = Path(path).expanduser()
    if path.is_file():
        return path
    folder = path.parent
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint {path} does not exist, nor does the folder {folder}")
    found = sorted(x.name for x in folder.iterdir() if x.suffix in {".pth", ".pt", ".bin", ".ckpt"})
    near = nearest_names(path.name, found, cutoff=0.0)
    hint = f"nearest files there: {', '.join(near)}" if near else f"{folder} holds no checkpoint"
    problem = "is a folder, not a checkpoint file" if path.is_dir() else "does not exist"
    raise CheckpointError(f"checkpoint {path} {problem}; {hint}")


def _is_url(path: str | Path) -> bool:
    return isinstance(path, str) and path.startswith(("http://", "https://"))


def _download(url: str) -> dict[str, Any]:
    try:
        content = torch.hub.load_state_dict_from_url(url, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(url, error)) from error
    except urllib.error.URLError as error:
        raise CheckpointError(f"checkpoint {url} cannot be downloaded: {error}") from error
    return _require_dict(url, content)


def _check_is_checkpoint(path: Path) -> bool:
    """Return whether the file is a zip archive (torch >= 1.6), which can be mapped into memory."""
    require_file(path)
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_ZIP):
        if not zipfile.is_zipfile(path):
            raise CheckpointError(
                f"{path} ({path.stat().st_size} bytes) is cut off: its table of contents is missing. "
                "Copy or download it again"
            )
        return True
    if not start.startswith(_LEGACY_PICKLE):
        guess = (
            "a web page" if start.lstrip().lower().startswith((b"<!doctype", b"<html")) else "something else"
        )
        raise CheckpointError(f"{path} is not a checkpoint but {guess}: it begins with {start[:20]!r}")
    return False


def _refusal(path: str | Path, error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    what = f"{found[1]}" if found else "something"
    return (
        f"{path} holds {what}, beyond the tensors and plain values of a checkpoint; loading it could run "
        "code. Where you trust it, save its weights alone: torch.save(model.state_dict(), path)"
    )


def _require_dict(path: str | Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; a checkpoint is a dict of weights")
    return content
