"""Masks in COCO's format: the box around polygons or run lengths, and what is wrong with them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # left, top, right, bottom
_LONGEST_NUMBER = 8  # groups of five bits


class MaskError(ValueError):
    """A mask that covers nothing or cannot be read; the text goes on from "annotations have ..."."""


class MaskSizeError(MaskError):
    """Run lengths of another number of pixels than their size says."""


def box_around(mask: list[list[float]] | dict[str, Any]) -> Box | None:
    """Return the box around a mask: polygons, or run lengths as a list or a text; None if these are empty.

    Raises: MaskError: if there is none.
    """
    if isinstance(mask, dict):
        return _box_of_runs(mask)
    polygons = [x for x in mask if _is_polygon(x)]
    if not polygons:
        raise MaskError("no polygon of three points or more")
    if not any(map(has_area, polygons)):
        raise MaskError("polygons without area")
    xs, ys = ([x[start::2] for x in polygons] for start in (0, 1))
    return min(map(min, xs)), min(map(min, ys)), max(map(max, xs)), max(map(max, ys))


def _is_polygon(numbers: Sequence[float]) -> bool:
    return len(numbers) >= 6 and len(numbers) % 2 == 0


def has_area(polygon: Sequence[float]) -> bool:
    """Whether a polygon x, y, x, y, ... has three corners or more, and these do not lie on one line."""
    if not _is_polygon(polygon):
        return False
    x, y = polygon[0], polygon[1]
    sides = [(polygon[i] - x, polygon[i + 1] - y) for i in range(2, len(polygon), 2)]
    first = next((side for side in sides if side != (0, 0)), (0, 0))
    return any(first[0] * side[1] != first[1] * side[0] for side in sides)


def _box_of_runs(mask: dict[str, Any]) -> Box | None:
    height, width = mask["size"]
    runs = _runs(mask["counts"])
    if runs.sum() != height * width:
        raise MaskSizeError(f"runs of {runs.sum()} pixels")
    ends = runs.cumsum()
    first, last = ends[:-1:2], ends[1::2]  # of the runs that lie on the object, column by column
    there = last > first
    if not there.any():
        return None
    first, last = first[there], last[there] - 1
    left, right = float(first[0] // height), float(last[-1] // height + 1)
    if (first // height != last // height).any():  # a run goes on in the next column: from bottom to top
        return left, 0.0, right, float(height)
    return left, float((first % height).min()), right, float((last % height).max() + 1)


def _runs(counts: str | list[int]) -> NDArray[np.int64]:
    """Decode run lengths: numbers, or their text of five bits a character, the higher ones later."""
    damaged = MaskError("run lengths that cannot be decoded")
    if isinstance(counts, list):
        if not {*map(type, counts)} <= {int} or min(counts, default=0) < 0:
            raise damaged
        return np.array(counts, np.int64)
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() >= 64 or codes[-1] & 32:
        raise damaged
    last = np.flatnonzero(codes & 32 == 0)  # character of each number
    first = np.concatenate(([0], last[:-1] + 1))
    if (last - first).max() >= _LONGEST_NUMBER:
        raise damaged
    places = 5 * (np.arange(codes.size) - np.repeat(first, last - first + 1))
    runs = np.add.reduceat((codes & 31) << places, first)
    runs -= np.where(codes[last] & 16, 1 << (places[last] + 5), 0)  # negative ones
    for chain in (runs[1::2], runs[2::2]):  # from the fourth on, each is a difference to the last but one
        chain[:] = chain.cumsum()
    if runs.min() < 0:
        raise damaged
    return runs
