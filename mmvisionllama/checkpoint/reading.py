"""Read checkpoints from files, sharded folders and addresses, without running code from them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmvisionllama.checkpoint.as_saved import promise_of, require_as_saved
from mmvisionllama.checkpoint.downloads import downloaded
from mmvisionllama.checkpoint.sharded import SHARDED, is_sharded, read_sharded
from mmvisionllama.checkpoint.single_file import read_file, unpickle
from mmvisionllama.data_readers import make_hosts_read_data_safely
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import why_no_file
from mmvisionllama.host_internals import replace_checkpoint_readers
from mmvisionllama.suggestions import nearest_names

_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".safetensors", SHARDED}


def read_checkpoint(path: str | Path, *, lazy: bool = False) -> dict[str, Any]:
    """Return what a checkpoint file holds, its tensors on the CPU.

    Args:
        path: A file, the folder of a sharded checkpoint, an ``http(s)`` address, which is downloaded
            once (see ``downloads``), or an address that mmengine knows, such as ``torchvision://resnet50``.
        lazy: Map the file into memory instead of reading it, to look at little of it. Nobody may write into
            the file while the tensors are in use.
    Returns: The dict in the file; of a safetensors file ``state_dict`` and, as ``meta``, its own remarks.
    Raises: CheckpointError: if it does not exist (with the nearest names), does not have the bytes that its
        manifest promises, is damaged, is no checkpoint, or holds anything but tensors, plain values and what
        trainings are known to save.
    """
    if _scheme(path) not in ("", "http", "https"):
        make_mmengine_read_safely()
        return CheckpointLoader.load_checkpoint(str(path), logger="silent")
    path = local_file(path)
    try:
        require_as_saved(path)
    except CheckpointError as error:
        own = "" if is_sharded(path) else f"; if the change is your own, remove {promise_of(path)}"
        raise CheckpointError(f"{path} is not used: {error}. Copy it again, or take another{own}") from error
    return read_unchecked(path, lazy=lazy)


def read_unchecked(path: Path, *, lazy: bool = False) -> dict[str, Any]:
    """Do what ``read_checkpoint`` does for a file or folder whose manifest is known to fit."""
    return read_sharded(path) if is_sharded(path) else read_file(path, lazy=lazy)


def make_mmengine_read_safely() -> None:
    """Let mmengine and the hosts run no code of checkpoints and data for the rest of the process.

    Checkpoints are read by ``read_checkpoint``, data as ``data_readers`` says. Their own loaders run the code
    in a file that they cannot read otherwise. Reading any config calls this.
    """
    make_hosts_read_data_safely()
    replace_checkpoint_readers(read_checkpoint, lambda file: unpickle(file, "the checkpoint"))


def weights_of(checkpoint: dict[str, Any], path: str | Path, prefix: str | None = None) -> dict[str, Tensor]:
    """Return the model's weights where mmengine looks for them: below ``state_dict``, else at the top.

    Args:
        prefix: Of an ``init_cfg``: only names below it, cut short. None: all names, without the ``module.``
            of a wrapped model, which mmengine takes away only then.

    Raises: CheckpointError: if there are none, naming what ``path`` holds instead.
    """
    found = checkpoint.get("state_dict", checkpoint)
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path}: its 'state_dict' is a {type(found).__name__}, not a dict of weights")
    weights = {str(k): v for k, v in found.items() if isinstance(v, Tensor)}
    if not found:
        raise CheckpointError(f"{path} holds no weights: it is empty. Save model.state_dict() in it")
    if not weights:
        raise CheckpointError(
            f"{path} has no weights at its top level or below 'state_dict'; it has "
            f"{', '.join(map(repr, found))}. Convert released weights by tools/convert_checkpoint.py; of "
            "others, save the part that holds the weights as a file of its own"
        )
    if prefix is None:
        return {k.removeprefix("module."): v for k, v in weights.items()}
    prefix = prefix.removesuffix(".") + "."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def local_file(path: str | Path) -> Path:
    """Return the file that a path, or an ``http(s)`` address after a first download, stands for."""
    return require_file(downloaded(path) if _scheme(path) else path)


def require_file(path: str | Path) -> Path:
    """Return ``path`` if there is such a checkpoint, else raise a CheckpointError that names the nearest."""
    path = Path(path).expanduser()
    problem = why_no_file(path)
    if problem is None or is_sharded(path):
        return path
    folder = path.parent
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint {path} does not exist, nor does the folder {folder}")
    found = sorted(x.name for x in folder.iterdir() if x.suffix in _SUFFIXES)
    near = nearest_names(path.name, found, cutoff=0.0)
    hint = f"nearest files there: {', '.join(near)}" if near else f"{folder} holds no checkpoint"
    what = f"is {problem}, not a checkpoint file" if os.path.lexists(path) else "does not exist"
    raise CheckpointError(f"checkpoint {path} {what}; {hint}")


def _scheme(path: str | Path) -> str:
    return urlsplit(path).scheme if isinstance(path, str) and "://" in path else ""
