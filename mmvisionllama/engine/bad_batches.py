"""Batches that a training could not use, in files of tensors and plain values, to be looked at again."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvisionllama.checkpoint.reading import CheckpointError, read_checkpoint
from mmvisionllama.files import replaced_when_whole

FOLDER = "bad_batches"
# Whose classes may be made again from their attributes, without calling anything of theirs.
_PACKAGES = ("mmengine", "mmcv", "mmpretrain", "mmseg", "mmdet", "mmvisionllama")
_ARRAY, _TUPLE, _ELEMENT, _OBJECT = "__array__", "__tuple__", "__element__", "__object__"


def save_batch(path: Path, batch: Any, random_state: dict[str, Any], **meta: Any) -> None:
    """Write a batch, and the random state that its step began with, so that ``read_batch`` gives it again.

    Args:
        meta: Plain values that say where it comes from.
    """
    with replaced_when_whole(path) as temporary:
        torch.save({"batch": plain(batch), "random": random_state, "meta": meta}, temporary)


def read_batch(path: str | Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return (batch as the dataloader gave it, random state, meta); no code from the file is run.

    Raises: CheckpointError: if it is no such file.
    """
    content = read_checkpoint(path)
    if content.keys() != {"batch", "random", "meta"}:
        raise CheckpointError(f"{path} holds no batch of a training but {', '.join(map(str, content))}")
    return restored(content["batch"]), content["random"], content["meta"]


def plain(value: Any) -> Any:
    """Turn what dataloaders give into tensors, containers, numbers and strings."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, np.ndarray):
        numbers = value.dtype.kind in "biufc"
        return {_ARRAY: torch.from_numpy(value.copy()) if numbers else plain(value.tolist())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, BaseDataElement):
        fields = {"metainfo": dict(value.metainfo_items()), "data": dict(value.items())}
        return {_ELEMENT: _name(value), **{key: plain(x) for key, x in fields.items()}}
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [plain(x) for x in value]}
    if isinstance(value, list):
        return [plain(x) for x in value]
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    return {_OBJECT: _name(value), "state": plain(getattr(value, "__dict__", {}))}


def restored(value: Any) -> Any:
    """Undo ``plain``.

    Raises: CheckpointError: for a class that is none of mmengine's, the hosts' or ours.
    """
    if isinstance(value, list):
        return [restored(x) for x in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        array = value[_ARRAY]
        return array.numpy() if isinstance(array, Tensor) else np.array(array)
    if _TUPLE in value:
        return tuple(restored(x) for x in value[_TUPLE])
    if _ELEMENT in value:
        element = _class(value[_ELEMENT])(metainfo=restored(value["metainfo"]))
        for key, x in value["data"].items():
            element.set_field(restored(x), key)
        return element
    if _OBJECT in value:
        class_ = _class(value[_OBJECT])
        instance = class_.__new__(class_)
        instance.__dict__.update(restored(value["state"]))
        return instance
    return {key: restored(x) for key, x in value.items()}


def _name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _class(name: str) -> type:
    module, _, path = name.partition(":")
    if module.partition(".")[0] not in _PACKAGES or "." in path:
        raise CheckpointError(f"the batch holds a {name}, which is made by none of {', '.join(_PACKAGES)}")
    found = getattr(importlib.import_module(module), path, None)
    if not isinstance(found, type):
        raise CheckpointError(f"the batch holds a {name}, which does not exist here")
    return found
