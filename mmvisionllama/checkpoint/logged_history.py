"""The logged history of a run as plain values, which any ``torch.load`` reads, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_PARTS = ("history", "counts", "max_length")


def plain_values(value: Any) -> Any:
    """Return a nest of dicts and lists without mmengine's buffers and NumPy's arrays and numbers.

    A ``HistoryBuffer``, which mmengine keeps of every logged value, becomes a dict of tensors: it is a class
    over arrays that ``torch.load(..., weights_only=True)``, its default, refuses. Arrays become lists.
    """
    if isinstance(value, HistoryBuffer):
        history, counts = (torch.from_numpy(x.copy()) for x in value.data)
        return dict(zip(_PARTS, (history, counts, value.max_length), strict=True))
    if isinstance(value, Mapping):
        return {plain_values(key): plain_values(x) for key, x in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain_values(x) for x in value)
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def with_buffers(hub: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a message hub with buffers again; those in checkpoints from before are kept."""
    return {**hub, "log_scalars": {name: _buffer(x) for name, x in hub.get("log_scalars", {}).items()}}


def _buffer(value: Any) -> Any:
    if not isinstance(value, Mapping) or set(value) != set(_PARTS):
        return value
    history, counts, length = (value[name] for name in _PARTS)
    return HistoryBuffer(history.numpy(), counts.numpy(), length)
