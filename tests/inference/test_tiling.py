"""Tiles against the whole image, with models that see each pixel, or each bright rectangle, for itself."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from numpy.typing import NDArray

from mmvisionllama.errors import InputError
from mmvisionllama.inference.input_images import InputImage, open_images
from mmvisionllama.inference.predictions import Detection, Segmentation
from mmvisionllama.inference.tiling import Tiling, predict_tiled


class Model:
    """What ``predict_tiled`` asks of a trained model."""

    source = "a model of this test"

    def pixels_of(self, image: InputImage) -> NDArray:
        return cv2.imdecode(np.frombuffer(image.content, np.uint8), cv2.IMREAD_COLOR)

    def samples_of(self, images: Sequence[InputImage], *, batch_size: int | None = None) -> Iterator[Any]:
        return (self.sample(self.pixels_of(x)) for x in images)

    def predict_each(self, images: Sequence[InputImage], *, batch_size: int | None = None) -> Iterator[Any]:
        return (self.result(self.sample(self.pixels_of(x)), x) for x in images)


class PixelClassifier(Model):
    """Three classes: the channel that is brightest."""

    task = "segmentation"

    def sample(self, pixels: NDArray) -> SegDataSample:
        logits = torch.from_numpy(pixels).permute(2, 0, 1).float()
        labels = logits.argmax(0, keepdim=True)
        return SegDataSample(seg_logits=PixelData(data=logits), pred_sem_seg=PixelData(data=labels))

    def result(self, sample: SegDataSample, image: InputImage) -> Segmentation:
        labels = sample.pred_sem_seg.data[0].numpy().astype(np.uint16)
        return Segmentation(image=image, classes=("a", "b", "c"), labels=labels, palette=[])


class RectangleDetector(Model):
    """Finds every bright rectangle, also the part of one that a tile shows; larger ones are surer."""

    task = "detection"

    def __init__(self, most: int) -> None:
        self.most = most  # in wider images it finds nothing, as where all is made too small to be seen

    def sample(self, pixels: NDArray) -> InstanceData:
        _, places, stats, _ = cv2.connectedComponentsWithStats((pixels[..., 0] > 128).astype(np.uint8))
        found = [(i, x) for i, x in enumerate(stats) if i and pixels.shape[1] <= self.most]
        boxes = np.array([[x, y, x + w, y + h] for _, (x, y, w, h, _) in found], np.float32).reshape(-1, 4)
        masks = np.array([places == i for i, _ in found]).reshape(-1, *pixels.shape[:2])
        areas = np.array([x[4] for _, x in found], np.float32)
        return InstanceData(bboxes=boxes, masks=masks, scores=areas / 1e6)

    def result(self, sample: InstanceData, image: InputImage) -> Detection:
        return Detection(
            image=image,
            classes=("rectangle",),
            boxes=sample.bboxes,
            labels=np.zeros(len(sample.bboxes), np.int64),
            scores=sample.scores,
            masks=sample.masks,
        )


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("hw", [(64, 64), (65, 200), (31, 500), (333, 127)])
def test_tiles_cover_the_image_and_neighbours_share_what_was_asked(
    hw: tuple[int, int], overlap: float
) -> None:
    tiling, covered = Tiling(64, overlap), np.zeros(hw, int)
    tiles = tiling.of(*hw)
    for top, left, bottom, right in tiles:
        assert (bottom - top, right - left) == (min(64, hw[0]), min(64, hw[1]))
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    columns = sorted({x.left for x in tiles})
    assert all(b - a <= 64 - tiling.shared for a, b in pairwise(columns))


def test_a_side_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match=r"side of at least 1 px and an overlap in \[0, 1\), got 0"):
        Tiling(0)


def test_labels_of_tiles_are_those_of_the_whole_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 97, 3), np.uint8)
    images = open_images([pixels], "bgr")
    model = PixelClassifier()
    (tiled,), (whole,) = predict_tiled(model, images, Tiling(40)), model.predict_each(images)
    np.testing.assert_array_equal(tiled.labels, whole.labels)


def scene() -> tuple[list[InputImage], list[list[int]]]:
    """Return an image of bright rectangles, across borders of tiles too, and their boxes."""
    boxes = [[10, 10, 20, 22], [40, 40, 58, 52], [60, 100, 76, 108], [90, 5, 100, 19], [120, 130, 150, 144]]
    pixels = np.zeros((160, 170, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = 255
    return open_images([pixels], "bgr"), boxes


def test_every_object_of_an_image_in_tiles_is_found_once_and_whole() -> None:
    images, boxes = scene()
    (found,) = predict_tiled(RectangleDetector(64), images, Tiling(64, 0.5))
    assert sorted(found.boxes.astype(int).tolist()) == sorted(boxes)
    for (x1, y1, x2, y2), mask in zip(found.boxes.astype(int), found.masks, strict=True):
        assert mask.shape == (160, 170)
        assert mask[y1:y2, x1:x2].all()
        assert mask.sum() == (x2 - x1) * (y2 - y1)


def test_an_object_larger_than_a_tile_is_found_in_the_image_as_a_whole() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[20:60, 10:190] = 255
    (found,) = predict_tiled(RectangleDetector(1000), open_images([pixels], "bgr"), Tiling(50, 0.2))
    assert found.boxes.astype(int).tolist()[0] == [10, 20, 190, 60]


def test_tiles_are_refused_for_other_tasks() -> None:
    model = PixelClassifier()
    model.task = "classification"
    with pytest.raises(InputError, match="tiles are for segmentation and detection"):
        next(predict_tiled(model, [], Tiling(64)))
