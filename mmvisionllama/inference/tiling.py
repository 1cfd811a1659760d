"""Prediction of large images in overlapping tiles, merged into one result."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData
from numpy.typing import NDArray

from mmvisionllama.errors import InputError
from mmvisionllama.inference.input_images import InputImage, open_images
from mmvisionllama.inference.predictions import Detection, Prediction
from mmvisionllama.inference.trained_model import Outcome, TrainedModel

_SAME = 0.5  # overlap (intersection over union) from which two boxes of a class are one object
_EDGE = 1.0  # px from the border of a tile at which a box may go on in the next one


@dataclass(frozen=True)
class Tiling:
    """How images are cut.

    Attributes:
        side: Of a tile in pixels of the image; each is predicted as an image of this size would be.
        overlap: Share of the side that neighbours have in common.
    """

    side: int
    overlap: float = 0.25

    def __post_init__(self) -> None:
        if self.side < 1 or not 0 <= self.overlap < 1:
            raise InputError(
                f"tiles: expected a side of at least 1 px and an overlap in [0, 1), got {self.side} and "
                f"{self.overlap}"
            )

    @property
    def shared(self) -> int:
        """Pixels that neighbours have in common at least."""
        return round(self.side * self.overlap)

    def of(self, height: int, width: int) -> list["Tile"]:
        """Return the tiles of an image, row by row, of one size; the last ones end with the image."""
        rows, columns = self._starts(height), self._starts(width)
        return [
            Tile(y, x, min(y + self.side, height), min(x + self.side, width)) for y in rows for x in columns
        ]

    def _starts(self, length: int) -> list[int]:
        if length <= self.side:
            return [0]
        count = -(-(length - self.shared) // max(self.side - self.shared, 1))
        return [round(i * (length - self.side) / (count - 1)) for i in range(count)]


class Tile(NamedTuple):
    """A part of an image, in pixels; the last two are exclusive."""

    top: int
    left: int
    bottom: int
    right: int


def predict_tiled(
    model: TrainedModel, images: Sequence[InputImage], tiling: Tiling, *, batch_size: int | None = None
) -> Iterator[Outcome]:
    """Predict images in tiles; for one that cannot be read, yield why.

    Scores of a segmentation are averaged where tiles overlap. Boxes of a detection are those of all tiles and
    of the image as a whole, which shows what is larger than a tile; of boxes of one object the surest stays.
    An image that one tile holds is predicted as without tiles.

    Args:
        batch_size: Tiles at once; None: that of the training's test.
    Raises: InputError: for a model of another task.
    """
    if model.task not in ("segmentation", "detection"):
        raise InputError(f"tiles are for segmentation and detection; {model.source} is for {model.task}")
    for image in images:
        pixels = model.pixels_of(image)
        if isinstance(pixels, InputError):
            yield pixels
            continue
        tiles = tiling.of(*pixels.shape[:2])
        if len(tiles) == 1:
            yield from model.predict_each([image], batch_size=1)
            continue
        parts = [np.ascontiguousarray(pixels[t.top : t.bottom, t.left : t.right]) for t in tiles]
        samples = model.samples_of(open_images(parts, "bgr"), batch_size=batch_size)
        if model.task == "segmentation":
            yield model.result(_joined(samples, tiles, pixels.shape[:2]), image)
        else:
            (whole,) = model.predict_each([image], batch_size=1)
            found = [model.result(x, image) for x in samples]
            yield _merged(whole, found, tiles, pixels.shape[:2])


def _joined(
    samples: Iterator[BaseDataElement], tiles: Sequence[Tile], hw: tuple[int, int]
) -> BaseDataElement:
    """Average the scores of all tiles at each pixel, and take the best class."""
    total, count = None, torch.zeros(hw)
    for sample, (top, left, bottom, right) in zip(samples, tiles, strict=True):
        logits_CHW = sample.seg_logits.data.float().cpu()
        if total is None:
            total = torch.zeros((len(logits_CHW), *hw))
        total[:, top:bottom, left:right] += logits_CHW
        count[top:bottom, left:right] += 1
    total /= count
    joined = sample.new()
    # As mmseg decides: one channel is a score of the second class.
    labels = total.argmax(dim=0, keepdim=True) if len(total) > 1 else (total > 0).long()
    joined.pred_sem_seg = PixelData(data=labels)
    return joined


def _merged(
    whole: Detection, found: Sequence[Detection], tiles: Sequence[Tile], hw: tuple[int, int]
) -> Prediction:
    """Put the objects of all tiles into one image."""
    from mmcv.ops import batched_nms

    kept = [_uncut(x, tile, tiles, hw) for x, tile in zip(found, tiles, strict=True)]
    moved = [x.boxes + np.float32([t.left, t.top] * 2) for x, t in zip(kept, tiles, strict=True)]
    boxes = np.concatenate([whole.boxes, *moved])
    scores, labels = (
        np.concatenate([getattr(x, key) for x in (whole, *kept)]) for key in ("scores", "labels")
    )
    best = np.arange(0)
    if len(boxes):
        options = dict(type="nms", iou_threshold=_SAME)
        tensors = (torch.from_numpy(x) for x in (boxes, scores, labels))
        best = batched_nms(*tensors, options)[1].numpy()
    masks = None
    if whole.masks is not None:
        origins = [(whole, i, Tile(0, 0, *hw)) for i in range(len(whole))]
        origins += [(x, i, t) for x, t in zip(kept, tiles, strict=True) for i in range(len(x))]
        masks = np.zeros((len(best), *hw), bool)
        for target, index in zip(masks, best, strict=True):
            source, i, (top, left, bottom, right) = origins[index]
            target[top:bottom, left:right] = source.masks[i]
    return Detection(
        image=whole.image,
        classes=whole.classes,
        boxes=boxes[best],
        labels=labels[best],
        scores=scores[best],
        masks=masks,
        category_ids=whole.category_ids,
    )


def _uncut(found: Detection, tile: Tile, tiles: Sequence[Tile], hw: tuple[int, int]) -> Detection:
    """Leave out boxes that end at a border inside the image and are whole in the neighbour."""
    height, width = tile.bottom - tile.top, tile.right - tile.left
    shared = _shared(tiles)
    x1, y1, x2, y2 = found.boxes.T
    cut_x = ((x1 < _EDGE) & (tile.left > 0)) | ((x2 > width - _EDGE) & (tile.right < hw[1]))
    cut_y = ((y1 < _EDGE) & (tile.top > 0)) | ((y2 > height - _EDGE) & (tile.bottom < hw[0]))
    elsewhere: NDArray[np.bool_] = (cut_x & (x2 - x1 < shared[1])) | (cut_y & (y2 - y1 < shared[0]))
    return found.chosen(~elsewhere)


def _shared(tiles: Sequence[Tile]) -> tuple[int, int]:
    """Return the rows and columns that neighbours have in common at least, 0 without neighbours."""
    found = []
    for start, end in (("top", "bottom"), ("left", "right")):
        spans = sorted({(getattr(t, start), getattr(t, end)) for t in tiles})
        found.append(min((a[1] - b[0] for a, b in pairwise(spans)), default=0))
    return found[0], found[1]
