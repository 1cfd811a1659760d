"""Read YOLO's txt files: boxes by their centres, and polygons, in shares of the image's sides."""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.beside_images import in_parts
from mmvisionllama.finetuning.found_data import (
    Annotated,
    FoundData,
    ImageObject,
    Sample,
    image_size,
    walk,
)
from mmvisionllama.suggestions import shortened

_TABLES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
_LINE = re.compile(r"\d+(?:\s+[-+\d.eE]+){4,}")


def has_yolo_files(root: Path) -> bool:
    """Whether ``root`` has folders ``labels``, or txt files beside images that hold boxes."""
    if not root.is_dir():
        return False
    texts = [x for x in walk(root).others if x.suffix == ".txt" and x.name not in _TABLES]
    return any(
        _LINE.match(line) for x in texts[:20] for line in x.read_text(errors="replace").splitlines()[:1]
    )


def read_yolo_files(root: Path) -> FoundData:
    """Read ``images/PART`` with ``labels/PART``, ``{train,valid}/images``, or both in one folder.

    Names of classes come from ``data.yaml``, ``classes.txt`` or ``obj.names``. An image without a file of
    labels shows nothing.

    Raises: DataError: naming file and line, for what is no box, or a class without a name.
    """
    found = walk(root)
    names = _names(root)
    labels = {x for x in found.others if x.suffix == ".txt" and x.name not in _TABLES}
    samples, without, most = [], 0, -1
    for image in found.images:
        file = next((x for x in _label_files(image) if x in labels), None)
        size = image_size(image)
        if size is None:
            raise DataError(f"the image {image} cannot be read")
        rows = [] if file is None else _rows(file)
        without += file is None
        most = max([most, *(number for number, _ in rows)])
        objects = tuple(_object(number, values, size, names) for number, values in rows)
        samples.append(Sample(image, Annotated(*size, objects)))
    notes = [f"{without:,} images have no file of labels: they show no object"] if without else []
    if names is None:
        notes.append(f"no {' or '.join(_TABLES)} names the classes: they are called by their numbers")
    elif most >= len(names):
        raise DataError(
            f"{root}: labels have the class {most}, the names are {len(names)}: {shortened(names)}"
        )
    notes += found.notes(known=(".txt", ".yaml", ".yml", ".names", ".cache"))
    return in_parts("YOLO txt", root, samples, notes, None, order=names)


def _label_files(image: Path) -> list[Path]:
    """Return where the labels of an image may be: beside it, or in ``labels`` for ``images``."""
    places = [image.with_suffix(".txt")]
    parts = image.parts
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == "images":
            places.append(Path(*parts[:i], "labels", *parts[i + 1 :]).with_suffix(".txt"))
    return places


def _names(root: Path) -> list[str] | None:
    for file in (root / x for x in _TABLES):
        if not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8-sig")
            if file.suffix not in (".yaml", ".yml"):
                return [x.strip() for x in text.splitlines() if x.strip()]
            content: Any = yaml.safe_load(text)
            names = content.get("names") if isinstance(content, dict) else None
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            raise DataError(f"{file} cannot be read: {error}") from error
        if isinstance(names, dict):
            names = [names[key] for key in sorted(names)]
        if not isinstance(names, list) or not names:
            raise DataError(f"{file} has no list of names")
        return list(map(str, names))
    return None


def _rows(file: Path) -> list[tuple[int, list[float]]]:
    rows = []
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            first, *values = map(float, line.split())
        except ValueError as error:
            raise DataError(f"{file}, line {number}: {line[:60]!r} is no row of numbers") from error
        is_box, is_polygon = len(values) == 4, len(values) >= 6 and len(values) % 2 == 0
        if not (is_box or is_polygon) or first != int(first) or first < 0:
            raise DataError(
                f"{file}, line {number}: takes a class and 4 numbers of a box, or 6 or more of a polygon, "
                f"got {len(values) + 1} numbers"
            )
        if not all(math.isfinite(x) and -0.01 <= x <= 1.01 for x in values):
            raise DataError(
                f"{file}, line {number}: {line[:60]!r} is not in shares of the image's sides, 0 to 1"
            )
        if is_box and min(values[2:]) <= 0:
            raise DataError(f"{file}, line {number}: a box of {values[2]} x {values[3]} has no area")
        rows.append((int(first), values))
    return rows


def _object(number: int, values: list[float], size: tuple[int, int], names: list[str] | None) -> ImageObject:
    width, height = size
    name = names[number] if names is not None and number < len(names) else str(number)
    if len(values) == 4:
        x, y, w, h = values
        return ImageObject(name, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    xs, ys = [x * width for x in values[0::2]], [y * height for y in values[1::2]]
    polygon = [round(v, 2) for pair in zip(xs, ys, strict=True) for v in pair]
    box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    return ImageObject(name, box, [polygon])
