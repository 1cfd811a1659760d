"""Read LabelMe's JSON files: polygons, rectangles and circles."""

import math
from pathlib import Path
from typing import Any

from mmvisionllama.errors import DataError
from mmvisionllama.files import read_json
from mmvisionllama.finetuning.beside_images import annotated_images, in_parts
from mmvisionllama.finetuning.found_data import Annotated, FoundData, ImageObject, Sample, walk
from mmvisionllama.suggestions import shortened

_ENDING = ".json"
_CORNERS = 32  # of the polygon for a circle


def has_labelme_files(root: Path) -> bool:
    """Whether a JSON file below ``root`` has shapes."""
    return root.is_dir() and any(_shapes(x) is not None for x in _files(root)[:5])


def read_labelme_files(root: Path) -> FoundData:
    """Read a JSON file for each image, beside it. Points and lines are no objects and are left out.

    Raises: DataError: naming the file, for damaged JSON or shapes without points.
    """
    pairs, notes = annotated_images(root, _ENDING)
    left_out: set[str] = set()
    samples = [Sample(image, _annotated(file, left_out)) for image, file in pairs]
    if left_out:
        notes.append(f"left out, no areas: {shortened(sorted(left_out))}")
    return in_parts("LabelMe JSON", root, samples, notes, None)


def _files(root: Path) -> list[Path]:
    return [x for x in walk(root).others if x.suffix.lower() == _ENDING]


def _shapes(file: Path) -> dict[str, Any] | None:
    try:
        content = read_json(file)
    except ValueError:
        return None
    return content if isinstance(content, dict) and isinstance(content.get("shapes"), list) else None


def _annotated(file: Path, left_out: set[str]) -> Annotated:
    content = _shapes(file)
    if content is None:
        raise DataError(f"{file} is no file of LabelMe: no JSON object with a list of shapes")
    sizes = [content.get(key) for key in ("imageWidth", "imageHeight")]
    if not all(isinstance(x, int) and x > 0 for x in sizes):
        raise DataError(f"{file}: imageWidth and imageHeight are {sizes[0]!r} and {sizes[1]!r}")
    objects = []
    for number, shape in enumerate(content["shapes"]):
        kind = shape.get("shape_type") or "polygon" if isinstance(shape, dict) else None
        if kind in ("point", "line", "linestrip", "points"):
            left_out.add(kind)
            continue
        try:
            points = [(float(x), float(y)) for x, y in shape["points"]]
            if not all(math.isfinite(x) for point in points for x in point):
                raise ValueError("a point is no number")
            objects.append(_object(str(shape["label"]), kind, points))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file}, shape {number}: {type(error).__name__} {error}") from error
    return Annotated(*sizes, tuple(objects))


def _object(name: str, kind: str, points: list[tuple[float, float]]) -> ImageObject:
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        turns = [2 * math.pi * i / _CORNERS for i in range(_CORNERS)]
        points = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    elif kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    elif kind not in ("polygon", "rectangle") or len(points) < 3:
        raise ValueError(f"a {kind} of {len(points)} points has no area")
    xs, ys = ([p[i] for p in points] for i in (0, 1))
    box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    if min(box[2:]) <= 0:
        raise ValueError(f"a {kind} has no area")
    return ImageObject(name, box, [[round(v, 2) for point in points for v in point]])
