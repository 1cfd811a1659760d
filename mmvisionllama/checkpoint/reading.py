"""Read a checkpoint without ever running code from it."""

import pickle
import re
import urllib.error
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import urlsplit

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as host
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmvisionllama.names import nearest_names


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
    *(
        (function, f"numpy.{core}.multiarray.{function.__name__}")
        for core in ("core", "_core")
        for function in (np._core.multiarray._reconstruct, np._core.multiarray.scalar)
    ),
]
_ZIP, _LEGACY_PICKLE = b"PK\x03\x04", b"\x80\x02"
SHARDED = ".sharded"  # of folders that hold a checkpoint in parts
_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".safetensors", SHARDED}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: missing, damaged, unsafe or of another architecture."""


def read_checkpoint(path: str | Path, *, lazy: bool = False) -> dict[str, Any]:
    """Return what a checkpoint file holds, its tensors on the CPU.

    Args:
        path: A file, the folder of a sharded checkpoint, an ``http(s)`` address, which torch downloads into
            its cache once, or an address that mmengine knows, such as ``torchvision://resnet50``.
        lazy: Map the file into memory instead of reading it, to look at little of it. Nobody may write into
            the file while the tensors are in use.
    Returns: The dict in the file; of a safetensors file ``state_dict`` and, as ``meta``, its own remarks.
    Raises: CheckpointError: if it does not exist (with the nearest names), is damaged, is no checkpoint, or
        holds anything but tensors, plain values and what trainings are known to save.
    """
    if _scheme(path) not in ("", "http", "https"):
        make_mmengine_read_safely()
        return CheckpointLoader.load_checkpoint(str(path), logger="silent")
    path = local_file(path)
    if is_sharded(path):
        from mmvisionllama.checkpoint.sharded import read_sharded  # which reads its common part by this

        return read_sharded(path)
    kind = _kind_of(path)
    if kind == "safetensors":
        return _read_safetensors(path)
    content = _unpickle(path, path, mmap=lazy and kind == "zip")
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; a checkpoint is a dict of weights")
    return content


def make_mmengine_read_safely() -> None:
    """Let mmengine and the hosts read checkpoints by ``read_checkpoint`` for the rest of the process.

    Their own loaders run the code in a file that they cannot read safely.
    """

    # Whoever asks copies the tensors into a model or an optimizer, which keep their device.
    def load_from_safe_reader(filename: str, map_location: Any = None) -> dict[str, Any]:
        return read_checkpoint(filename)

    def unpickle_safely(file: str | IO[bytes], map_location: Any = None, weights_only: Any = None) -> Any:
        return read_checkpoint(file) if isinstance(file, str) else _unpickle(file, "the checkpoint")

    CheckpointLoader.register_scheme(("", "http://", "https://"), load_from_safe_reader, force=True)
    # The loaders of the other addresses (torchvision://, openmmlab://, s3://, ...) end in one of these.
    host.load_from_local = host.load_from_http = load_from_safe_reader
    host._safe_torch_load = unpickle_safely


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
            f"{', '.join(map(repr, found))}. Convert released weights by tools/convert_checkpoint.py; of "
            "others, save the part that holds the weights as a file of its own"
        )
    return weights


def local_file(path: str | Path) -> Path:
    """Return the file that a path, or an ``http(s)`` address after a first download, stands for."""
    return require_file(_download(path) if _scheme(path) else path)


def require_file(path: str | Path) -> Path:
    """Return ``path`` if there is such a checkpoint, else raise a CheckpointError that names the nearest."""
    path = Path(path).expanduser()
    if path.is_file() or is_sharded(path):
        return path
    folder = path.parent
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint {path} does not exist, nor does the folder {folder}")
    found = sorted(x.name for x in folder.iterdir() if x.suffix in _SUFFIXES)
    near = nearest_names(path.name, found, cutoff=0.0)
    hint = f"nearest files there: {', '.join(near)}" if near else f"{folder} holds no checkpoint"
    problem = "is a folder, not a checkpoint file" if path.is_dir() else "does not exist"
    raise CheckpointError(f"checkpoint {path} {problem}; {hint}")


def is_sharded(path: Path) -> bool:
    """Whether a checkpoint is a folder of shards; see ``mmvisionllama.checkpoint.sharded``."""
    return path.suffix == SHARDED and path.is_dir()


def _scheme(path: str | Path) -> str:
    return urlsplit(path).scheme if isinstance(path, str) and "://" in path else ""


def _download(url: str) -> Path:
    """Return the file in torch's cache, where the first call puts it, whole or not at all."""
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except urllib.error.URLError as error:
            raise CheckpointError(f"checkpoint {url} cannot be downloaded: {error}") from error
    return path


def _kind_of(path: Path) -> Literal["zip", "pickle", "safetensors"]:
    """Tell the format by the first bytes: a zip archive (torch >= 1.6), a bare pickle, or safetensors."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_ZIP):
        if not zipfile.is_zipfile(path):
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
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is a damaged checkpoint: {error}. Copy or download it again"
        ) from error


def _unpickle(file: Path | IO[bytes], name: str | Path, mmap: bool = False) -> Any:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(name, error)) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise CheckpointError(f"{name} is a damaged checkpoint: {error}") from error


def _refusal(path: str | Path, error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    what = f"{found[1]}" if found else "something"
    return (
        f"{path} holds {what}, beyond the tensors and plain values of a checkpoint; loading it could run "
        "code. Where you trust it, save its weights alone: torch.save(model.state_dict(), path)"
    )
