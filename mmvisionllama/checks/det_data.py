"""Check the data of a detector in COCO's format: annotations, classes, files."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset

from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing
from mmvisionllama.files import read_json, why_no_file
from mmvisionllama.host_internals import uses_part
from mmvisionllama.suggestions import shortened

_SECTIONS = ("images", "annotations", "categories")
_Kind = tuple[str, Callable[[Any], bool]]  # what a value must be, in words and as a test


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_mask(value: Any) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("size"), list) and isinstance(value.get("counts"), (list, str))
    if value is None:
        return True
    return isinstance(value, list) and all(
        isinstance(polygon, list) and {*map(type, polygon)} <= {int, float} for polygon in value
    )


_WHOLE: _Kind = ("a whole number", lambda x: type(x) is int)
_SIDE: _Kind = ("a number above 0", lambda x: _is_number(x) and x > 0)
_TEXT: _Kind = ("a text", lambda x: isinstance(x, str))
_BOX: _Kind = ("4 numbers", lambda x: isinstance(x, list) and len(x) == 4 and all(map(_is_number, x)))
_NEEDED: dict[str, dict[str, _Kind]] = {
    "images": {"id": _WHOLE, "file_name": _TEXT, "height": _SIDE, "width": _SIDE},
    "annotations": {
        "id": _WHOLE,
        "image_id": _WHOLE,
        "category_id": _WHOLE,
        "bbox": _BOX,
        "area": ("a number", _is_number),
    },
    "categories": {"id": _WHOLE, "name": _TEXT},
}
# Problem of an annotation -> whether it is fatal; else the run leaves the annotation out.
_FATAL = {
    "belong to no image of the file": True,
    "have a category that the file does not list": True,
    "have a mask of another size than their image": True,
    "have a box without area": False,
    "have a box outside of their image": False,
    "have no mask": False,
    "have no polygon of three points or more": False,
}


def check_detection(dataset: CocoDataset, role: Role) -> Iterator[DataProblem | str]:
    """Yield what is wrong with the data set, and as text what was looked at."""
    name, file = role.name, Path(dataset.ann_file)
    if not file.is_file():
        yield DataProblem(name, f"the annotation file {file} does not exist")
        return
    try:
        content = read_json(file)
    except ValueError as error:
        yield DataProblem(name, f"{file} is no JSON: {error}")
        return
    wrong = _wrong_kind(content)
    if wrong:
        yield DataProblem(name, f"{file} holds no instances in COCO's format: {wrong}")
        return
    problems = list(_classes(dataset, role, content["categories"]))
    yield from problems
    yield from _files(dataset, role, content["images"])
    yield from _objects(role, content)
    if not problems:
        yield from check_listing(dataset, role)
        yield from _used(dataset, role, len(content["images"]))


def _wrong_kind(content: Any) -> str | None:
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}, not an object with {', '.join(_SECTIONS)}"
    if missing := [key for key in _SECTIONS if not isinstance(content.get(key), list)]:
        return f"it has no list of {' or '.join(missing)}, but {shortened(sorted(content)) or 'nothing'}"
    for section, needed in _NEEDED.items():
        for entry in content[section]:
            if not isinstance(entry, dict):
                return f"an entry of {section} is {entry!r:.60}, not an object"
            if lacking := [key for key in needed if key not in entry]:
                return f"an entry of {section} has no {', '.join(lacking)}, but {shortened(sorted(entry))}"
            for key, (kind, holds) in needed.items():
                if not holds(entry[key]):
                    where = "" if key == "id" else f" of id {entry['id']!r:.20}"
                    return f"an entry of {section}{where} has {key}={entry[key]!r:.60}, not {kind}"
        ids = Counter(entry["id"] for entry in content[section])
        if twice := [str(key) for key, count in ids.items() if count > 1]:
            return f"ids of {section} occur twice: {shortened(twice)}"
    for entry in content["annotations"]:
        if not _is_mask(entry.get("segmentation")):
            kind = "a list of polygons, nor a dict with size and counts"
            return f"annotation {entry['id']} has segmentation={entry['segmentation']!r:.60}, neither {kind}"
    return None


def _classes(dataset: CocoDataset, role: Role, categories: list[dict]) -> Iterator[DataProblem]:
    wanted, listed = dataset.metainfo["classes"], [x["name"] for x in categories]
    if role.num_classes not in (None, len(wanted)):
        yield DataProblem(
            role.name, f"the data set has {len(wanted)} classes, the model's heads predict {role.num_classes}"
        )
    missing = [name for name in wanted if name not in listed]
    if missing:
        count = "none" if len(missing) == len(wanted) else f"only {len(wanted) - len(missing)}"
        yield DataProblem(
            role.name,
            f"{count} of the {len(wanted)} classes of the data set are categories of {dataset.ann_file}. The "
            f"data set has {shortened(wanted)}; the file has {shortened(listed)}. Set dataset.metainfo="
            "dict(classes=...) to names of the file",
        )


def _files(dataset: CocoDataset, role: Role, images: list[dict]) -> Iterator[DataProblem]:
    folder = Path(dataset.data_prefix["img"])
    if not folder.is_dir():
        yield DataProblem(role.name, f"the folder {folder} does not exist")
        return
    missing = [x["file_name"] for x in images if why_no_file(folder / x["file_name"])]
    if missing:
        counts = f"{len(missing):,} of {len(images):,} images"
        yield DataProblem(role.name, f"{counts} are not in {folder}: {shortened(missing)}")


def _objects(role: Role, content: dict) -> Iterator[DataProblem | str]:
    images = {x["id"]: x for x in content["images"]}
    categories = {x["id"] for x in content["categories"]}
    found: dict[str, list[str]] = defaultdict(list)
    for annotation in content["annotations"]:
        for what in _wrong_with(annotation, images.get(annotation["image_id"]), categories):
            found[what].append(str(annotation["id"]))
    total = len(content["annotations"])
    for what, ids in found.items():
        left_out = "" if _FATAL[what] else " and are left out"
        text = f"{len(ids):,} of {total:,} annotations {what}{left_out}: ids {shortened(ids)}"
        yield DataProblem(role.name, text, _FATAL[what])
    yield f"{role.name}: looked at {total:,} annotations of {len(images):,} images"


def _wrong_with(annotation: dict, image: dict | None, categories: set) -> Iterator[str]:
    if image is None:
        yield "belong to no image of the file"
        return
    if annotation["category_id"] not in categories:
        yield "have a category that the file does not list"
    x, y, width, height = annotation["bbox"]
    if width < 1 or height < 1 or annotation["area"] <= 0:
        yield "have a box without area"
    elif x >= image["width"] or y >= image["height"] or x + width <= 0 or y + height <= 0:
        yield "have a box outside of their image"
    mask = annotation.get("segmentation")
    if not mask:
        yield "have no mask"
    elif isinstance(mask, dict):
        if list(mask.get("size", ())) != [image["height"], image["width"]]:
            yield "have a mask of another size than their image"
    elif not any(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in mask):
        yield "have no polygon of three points or more"


def _used(dataset: CocoDataset, role: Role, listed: int) -> Iterator[str]:
    left_out = listed - len(dataset)
    if left_out and not role.evaluated and not uses_part(dataset):
        yield f"{role.name}: {left_out:,} of {listed:,} images are left out: without objects, or too small"
