"""Files of batches whose step was skipped, as tensors and plain values."""

import importlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvisionllama.checkpoint.reading import read_checkpoint
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import atomic_path

FOLDER = "bad_batches"
# Containers of samples and labels, which are filled field by field; no other class is ever made from a file.
_ELEMENTS = frozenset(
    {
        "mmengine.structures.base_data_element:BaseDataElement",
        "mmengine.structures.instance_data:InstanceData",
        "mmengine.structures.label_data:LabelData",
        "mmengine.structures.pixel_data:PixelData",
        "mmpretrain.structures.data_sample:DataSample",
        "mmpretrain.structures.multi_task_data_sample:MultiTaskDataSample",
        "mmseg.structures.seg_data_sample:SegDataSample",
        "mmdet.structures.det_data_sample:DetDataSample",
    }
)
# Boxes and masks, made by their constructors from these attributes.
_OBJECTS = {
    "mmdet.structures.bbox.horizontal_boxes:HorizontalBoxes": ("tensor",),
    "mmdet.structures.mask.structures:BitmapMasks": ("masks", "height", "width"),
    "mmdet.structures.mask.structures:PolygonMasks": ("masks", "height", "width"),
}
_ARRAY, _TUPLE, _ELEMENT, _OBJECT = "__array__", "__tuple__", "__element__", "__object__"


def save_batch(path: Path, batch: Any, random_state: dict[str, Any], **meta: Any) -> None:
    """Write a batch, and the random state that its step began with, so that ``read_batch`` gives it again.

    Args:
        meta: Plain values that say where it comes from.
    """
    with atomic_path(path) as temporary:
        torch.save({"batch": plain(batch), "random": random_state, "meta": meta}, temporary)


def read_batch(path: str | Path) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Return (batches of the step as the dataloader gave them, random state, meta); no code runs.

    Raises: CheckpointError: if it is no such file, damaged, or holds an object of another class than samples,
        boxes and masks.
    """
    content = read_checkpoint(path)
    if content.keys() != {"batch", "random", "meta"} or not isinstance(content["batch"], list):
        raise CheckpointError(f"{path} holds no batch of a training but {', '.join(map(str, content))[:200]}")
    try:
        batches = restored(content["batch"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # the hosts' classes fail on odd values by almost any error
        raise CheckpointError(f"{path} holds a damaged batch: {type(error).__name__} {error}") from error
    return batches, content["random"], content["meta"]


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
    attributes = _OBJECTS.get(_name(value), ())  # of another class nothing but its name is kept
    return {_OBJECT: _name(value), "state": {key: plain(getattr(value, key)) for key in attributes}}


def restored(value: Any) -> Any:
    """Undo ``plain``.

    Raises: CheckpointError: for another class than those of samples, boxes and masks.
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
        element = _class(value[_ELEMENT], _ELEMENTS)(metainfo=restored(value["metainfo"]))
        for key, x in value["data"].items():
            if not key.isidentifier() or key.startswith("_") or callable(getattr(element, key, None)):
                raise CheckpointError(f"a sample has no field {key!r}")
            element.set_field(restored(x), key)
        return element
    if _OBJECT in value:
        name, state = value[_OBJECT], restored(value["state"])
        return _class(name, _OBJECTS)(*(state[key] for key in _OBJECTS[name]))
    return {key: restored(x) for key, x in value.items()}


def _name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _class(name: Any, known: Collection[str]) -> type:
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(f"the batch holds a {name!r:.80}, which is no sample, box or mask")
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
