"""Names and colours of classes: from a checkpoint, else from the config of its data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from mmengine.registry import DATASETS


def metainfo_of(dataset: Mapping[str, Any], scope: str) -> dict[str, Any]:
    """Return what the config of a data set, or its class, says of the classes, without reading the data.

    Args:
        scope: Where a type without one is registered.
    """
    while "dataset" in dataset or "datasets" in dataset:
        dataset = dataset["dataset"] if "dataset" in dataset else dataset["datasets"][0]
    type_ = str(dataset["type"])
    kind = DATASETS.get(type_) if "." in type_ else DATASETS.get(f"{scope}.{type_}") or DATASETS.get(type_)
    of_class = getattr(kind, "METAINFO", {})
    return {**of_class, **(dataset.get("metainfo") or {})}


def palette_of(metainfo: Mapping[str, Any], count: int) -> Sequence[Sequence[int]]:
    """Return a colour for each of ``count`` classes: those of the data set, else distinct ones."""
    known = metainfo.get("palette")
    if known is not None and not isinstance(known, str) and len(known) >= count:
        return known
    return (
        (matplotlib.colormaps["hsv"](np.linspace(0, 1, count, endpoint=False))[:, :3] * 255)
        .astype(int)
        .tolist()
    )
