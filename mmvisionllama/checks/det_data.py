"""Check the data of a detector in COCO's format: annotations, classes, files."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset

from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing
from mmvisionllama.checks.det_objects import check_objects
from mmvisionllama.checks.evaluators import name_of
from mmvisionllama.checks.image_data import check_images
from mmvisionllama.files import read_json, why_no_file
from mmvisionllama.host_internals import uses_part
from mmvisionllama.suggestions import shortened

_SECTIONS = ("images", "annotations", "categories")
_Kind = tuple[str, Callable[[Any], bool]]  # what a value must be, in words and as a test


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_mask(value: Any) -> bool:
    if isinstance(value, dict):
        size = value.get("size")
        sides = isinstance(size, list) and len(size) == 2 and all(type(x) is int and x > 0 for x in size)
        return sides and isinstance(value.get("counts"), (list, str))
    if value is None:
        return True
    return isinstance(value, list) and all(
        isinstance(polygon, list)
        and {*map(type, polygon)} <= {int, float}
        and all(map(math.isfinite, polygon))
        for polygon in value
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
_FLAGS = ("iscrowd", "ignore")  # optional ones


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
    unlabelled = role.writes_predictions and isinstance(content, dict) and "annotations" not in content
    wrong = _wrong_kind(content | {"annotations": []} if unlabelled else content)
    if wrong:
        yield DataProblem(name, f"{file} holds no instances in COCO's format: {wrong}")
        return
    classes = list(_classes(dataset, role, content["categories"]))
    yield from classes
    yield from _files(dataset, role, content["images"])
    if unlabelled:
        yield f"{name}: {len(content['images']):,} images without labels"
    else:
        yield from check_objects(role, content, tuple(dataset.metainfo["classes"]))
    if not classes:
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
        for key in _FLAGS:
            if (value := entry.get(key, 0)) not in (0, 1):
                return f"annotation {entry['id']} has {key}={value!r:.60}, neither 0 nor 1"
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
    if repeated := [name for name, count in Counter(wanted).items() if count > 1]:
        yield DataProblem(role.name, f"metainfo.classes names classes twice: {shortened(repeated)}")
        return
    missing = [name for name in wanted if name not in listed]
    if missing:
        count = "none" if len(missing) == len(wanted) else f"only {len(wanted) - len(missing)}"
        yield DataProblem(
            role.name,
            f"{count} of the {len(wanted)} classes of the data set are categories of {dataset.ann_file}. The "
            f"data set has {shortened(wanted)}; the file has {shortened(listed)}. Set dataset.metainfo="
            "dict(classes=...) to names of the file",
        )
        return
    ids = {name: [str(x["id"]) for x in categories if x["name"] == name] for name in wanted}
    if twice := [f"{name!r} (ids {', '.join(x)})" for name, x in ids.items() if len(x) > 1]:
        yield DataProblem(
            role.name,
            f"{dataset.ann_file} lists categories twice under one name: {shortened(twice)}; keep one of "
            "each, and give its id to the annotations of the other",
        )
    in_file = tuple(name for name in listed if name in set(wanted))
    if not twice and in_file != tuple(wanted) and _takes_order_of_file(dataset):
        yield DataProblem(
            role.name,
            f"the classes of the data set are in another order than the categories of {dataset.ann_file}, "
            "whose order decides the labels, so names would be wrong and files of different orders would "
            f"contradict each other. The data set has {shortened(wanted)}; the file has "
            f"{shortened(in_file)}. Set dataset.metainfo=dict(classes=...) in the order of the file, and "
            "sort the categories alike in all files",
        )


def _takes_order_of_file(dataset: CocoDataset) -> bool:
    """Whether mmdet numbers labels as the file lists categories; some data sets sort them."""
    return type(dataset).load_data_list is CocoDataset.load_data_list


def _files(dataset: CocoDataset, role: Role, images: list[dict]) -> Iterator[DataProblem]:
    folder = Path(dataset.data_prefix["img"])
    if not folder.is_dir():
        yield DataProblem(role.name, f"the folder {folder} does not exist")
        return
    missing = [x["file_name"] for x in images if why_no_file(folder / x["file_name"])]
    if missing:
        counts = f"{len(missing):,} of {len(images):,} images"
        yield DataProblem(role.name, f"{counts} are not in {folder}: {shortened(missing)}")
        return
    yield from check_images(role, [str(folder / x["file_name"]) for x in images])
    different, turned = [], False
    headers = role.headers.of(str(folder / x["file_name"]) for x in images)
    for image, header in zip(images, headers, strict=True):
        listed = image["width"], image["height"]
        loaded = header.loaded_size(role.follows_orientation) if header else listed
        if loaded != listed:
            different.append(
                f"{image['file_name']} {listed[0]}x{listed[1]}, the file {loaded[0]}x{loaded[1]}"
            )
            turned = turned or header.turned
    if different:
        exif = (
            "; their EXIF orientation turns some, so save these turned (PIL.ImageOps.exif_transpose), or "
            "load all as they are stored (color_type='color_ignore_orientation' of the loader)"
        )
        yield DataProblem(
            role.name,
            f"{len(different):,} of {len(images):,} images have another width and height in "
            f"{dataset.ann_file} than in their files{exif if turned else ''}: {shortened(different)}",
        )


def _used(dataset: CocoDataset, role: Role, listed: int) -> Iterator[DataProblem | str]:
    left_out = listed - len(dataset)
    if not left_out:
        return
    if not role.evaluated:
        if not uses_part(dataset):
            counts = f"{left_out:,} of {listed:,} images are left out"
            yield f"{role.name}: {counts}: without objects, or too small"
        return
    whole = [name_of(x) for x in role.metrics if x.get("ann_file") and not x.get("format_only")]
    why = "indices" if uses_part(dataset) else "filter_cfg, which test_mode=True switches off"
    text = f"{left_out:,} of {listed:,} images are left out by {why}"
    if whole:
        text += f", but {whole[0]} scores all of its ann_file; leave ann_file out of the evaluator"
    yield DataProblem(role.name, text, fatal=bool(whole))
