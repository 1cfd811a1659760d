"""Small data sets in the layouts that people have, made of random pixels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RNG = np.random.default_rng(0)


def image(path: Path, width: int = 32, height: int = 24) -> Path:
    """Write an image."""
    return _save(path, RNG.integers(0, 256, (height, width, 3), np.uint8))


def images(folder: Path, count: int, ending: str = ".png", **size: int) -> list[Path]:
    """Write images ``0.png``, ``1.png``, ..."""
    return [image(folder / f"{i}{ending}", **size) for i in range(count)]


def mask(
    path: Path, values: Sequence[int] = (0, 1, 2), mode: str = "L", hw: tuple[int, int] = (24, 32)
) -> Path:
    """Write a mask with stripes of values."""
    stripes = np.resize(np.repeat(np.array(values, np.uint8), 4), hw[1])
    picture = Image.fromarray(np.tile(stripes, (hw[0], 1)), mode)
    if mode == "P":
        picture.putpalette(list(range(256)) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def coloured_mask(path: Path, colours: Sequence[tuple[int, int, int]]) -> Path:
    """Write a mask with a stripe of each colour."""
    stripes = np.repeat(np.array(colours, np.uint8), 32 // len(colours), axis=0)
    return _save(path, np.tile(stripes[None], (24, 1, 1)))


def coco(
    root: Path,
    part: str,
    count: int,
    *,
    masks: bool,
    rectangles: bool = False,
    names: Sequence[str] = ("cat", "dog"),
) -> Path:
    """Write images and a COCO file with a box of each class in every image, and five corners as its mask."""
    entries, annotations = [], []
    for i, path in enumerate(images(root / part, count), 1):
        entries.append({"id": i, "file_name": path.name, "width": 32, "height": 24})
        for k in range(len(names)):
            x, y, w, h = 2 + 14 * k, 3, 10, 12
            about = {"id": len(annotations) + 1, "image_id": i, "category_id": 10 * (k + 1), "iscrowd": 0}
            about |= {"bbox": [x, y, w, h], "area": w * h}
            if masks:
                corner = [] if rectangles else [x + w // 2, y + h]
                about["segmentation"] = [[x, y, x + w, y, x + w, y + h, *corner, x, y + h]]
            annotations.append(about)
    categories = [{"id": 10 * (k + 1), "name": name} for k, name in enumerate(names)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    return text(root / "annotations" / f"instances_{part}.json", json.dumps(content))


def voc(
    image_file: Path, objects: Sequence[tuple[str, int, int, int, int]], file: Path | None = None
) -> Path:
    """Write the XML of an image: names and corners."""
    boxes = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
        "</bndbox></object>"
        for name, a, b, c, d in objects
    )
    size = "<size><width>32</width><height>24</height><depth>3</depth></size>"
    return text(file or image_file.with_suffix(".xml"), f"<annotation>{size}{boxes}</annotation>")


def labelme(image_file: Path, shapes: Sequence[dict]) -> Path:
    """Write LabelMe's file of an image."""
    content = {"version": "5.0", "shapes": list(shapes), "imagePath": image_file.name}
    content |= {"imageWidth": 32, "imageHeight": 24}
    return text(image_file.with_suffix(".json"), json.dumps(content))


def text(path: Path, content: str) -> Path:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def _save(path: Path, pixels: NDArray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
