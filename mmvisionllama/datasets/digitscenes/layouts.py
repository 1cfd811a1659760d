"""Folder layouts of ADE20K, ImageNet and COCO that scenes are written in."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from mmvisionllama.datasets.digitscenes.scene import Scene
from mmvisionllama.datasets.digitscenes.sources import CLASSES

UNLABELLED, BACKGROUND = 0, 1  # as in ADE20K, where `reduce_zero_label` drops the 0 and shifts the rest


class Layout(ABC):
    """One split of a data set on disk.

    Attributes:
        single: Whether every image shows one digit.
    """

    single = False

    @abstractmethod
    def __init__(self, root: Path, split: str) -> None:
        """Make the folders of the split below ``root``."""

    @abstractmethod
    def write(self, index: int, scene: Scene, jpeg: bytes) -> Any:
        """Write a scene and return what ``finish`` needs to know about it; called from several threads."""

    def finish(self, records: list[Any]) -> None:  # noqa: B027 (most layouts are finished by then)
        """Write what describes the split as a whole, given the records in order of index."""


class SegLayout(Layout):
    """ADE20K: ``images/{training,validation}`` and, as PNG of the same name, ``annotations/``.

    A pixel is 0 (unlabelled) on the soft edge of a digit, 1 on the photograph, 2 + d on digit d.
    """

    def __init__(self, root: Path, split: str) -> None:
        folder = {"train": "training", "val": "validation"}[split]
        self._prefix = f"DigitScenes_{split}_"
        self._images, self._annotations = root / "images" / folder, root / "annotations" / folder
        for path in (self._images, self._annotations):
            path.mkdir(parents=True)

    def write(self, index: int, scene: Scene, jpeg: bytes) -> None:
        name = f"{self._prefix}{index:06d}"
        (self._images / f"{name}.jpg").write_bytes(jpeg)
        values = np.array([BACKGROUND, *(BACKGROUND + 1 + digit for digit in scene.digits)], np.uint8)
        labels = np.where(scene.border, np.uint8(UNLABELLED), values[scene.owner])
        Image.fromarray(labels).save(self._annotations / f"{name}.png")


class ClsLayout(Layout):
    """ImageNet: one folder per class below ``train`` and ``val``."""

    single = True

    def __init__(self, root: Path, split: str) -> None:
        self._root, self._prefix = root / split, f"DigitScenes_{split}_"
        for name in CLASSES[1:]:
            (self._root / name).mkdir(parents=True)

    def write(self, index: int, scene: Scene, jpeg: bytes) -> None:
        (digit,) = scene.digits
        (self._root / str(digit) / f"{self._prefix}{index:06d}.jpg").write_bytes(jpeg)


class DetLayout(Layout):
    """COCO: ``images/{train,val}`` and ``annotations/instances_{train,val}.json`` with the visible masks."""

    def __init__(self, root: Path, split: str) -> None:
        self._images = root / "images" / split
        self._json = root / "annotations" / f"instances_{split}.json"
        self._images.mkdir(parents=True)
        self._json.parent.mkdir(exist_ok=True)

    def write(self, index: int, scene: Scene, jpeg: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        height, width = scene.owner.shape
        image = {"id": index + 1, "file_name": f"{index + 1:012d}.jpg", "height": height, "width": width}
        (self._images / image["file_name"]).write_bytes(jpeg)
        return image, [self._instance(scene, number) for number in range(1, len(scene.digits) + 1)]

    @staticmethod
    def _instance(scene: Scene, number: int) -> dict[str, Any]:
        # Run lengths, since polygons cannot say that the photograph is seen through a 0, 6, 8 or 9.
        rle = coco_mask.encode(np.asfortranarray(scene.owner == number, np.uint8))
        return {
            "category_id": scene.digits[number - 1] + 1,
            "bbox": coco_mask.toBbox(rle).tolist(),
            "area": int(coco_mask.area(rle)),
            "iscrowd": 0,
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
        }

    def finish(self, records: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
        images = [image for image, _ in records]
        pairs = [(image["id"], instance) for image, instances in records for instance in instances]
        annotations = [{"id": i, "image_id": image, **x} for i, (image, x) in enumerate(pairs, start=1)]
        names = enumerate(CLASSES[1:], start=1)
        categories = [{"id": i, "name": name, "supercategory": "digit"} for i, name in names]
        content = {"images": images, "annotations": annotations, "categories": categories}
        self._json.write_text(json.dumps(content), encoding="utf-8")


LAYOUTS: dict[str, type[Layout]] = {"seg": SegLayout, "cls": ClsLayout, "det": DetLayout}
