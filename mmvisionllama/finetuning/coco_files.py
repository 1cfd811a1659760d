"""Read annotations in COCO's format: boxes, polygons and run lengths."""

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from mmvisionllama.datasets.image_files import is_hidden
from mmvisionllama.errors import DataError
from mmvisionllama.files import read_json, why_no_file
from mmvisionllama.finetuning.found_data import PARTS, Annotated, FoundData, ImageObject, Sample
from mmvisionllama.suggestions import shortened

_SECTIONS = ("images", "annotations", "categories")
_HEAD = 4096  # bytes in which a JSON file shows whether it is one
_FOLDERS = ("", "images", "{part}", "images/{part}", "{part}/images", "{part}2017", "JPEGImages", "data")


def has_coco_files(root: Path) -> bool:
    """Whether ``root`` is a JSON file of COCO's, or has some."""
    return bool(_files(root))


def read_coco_files(root: Path) -> FoundData:
    """Read one file, or one of each part (``instances_train.json``, ``train/_annotations.coco.json``).

    The categories of the training part are the classes, in their order, without those that have no object.

    Raises: DataError: naming the file, for what is no annotation of an object, categories of one name, images
        that do not exist, or classes that the training part lacks.
    """
    files = _files(root)
    folder = root.parent if root.is_file() else root
    parts, notes, classes = {}, [], ()
    for part in ("train", "val", "test"):
        if part not in files:
            continue
        content = _content(files[part])
        names = _categories(content, files[part])
        samples = _samples(content, names, files[part], folder, part)
        used = Counter(x.name for sample in samples for x in sample.label.objects)
        if part == "train":
            classes = tuple(x for x in names.values() if used[x])
            if unused := [x for x in names.values() if not used[x]]:
                notes.append(f"categories without objects are no classes: {shortened(unused)}")
        elif lacking := [x for x in used if x not in classes]:
            raise DataError(f"{files[part]} has objects of classes without training: {shortened(lacking)}")
        if not used and part != "train":
            notes.append(f"{files[part].name} has no objects: mmvisionllama predict takes its images later")
            continue
        parts[part] = samples
    if not classes:
        raise DataError(f"{files['train']} has no objects: there is nothing to learn from")
    return FoundData("COCO JSON", folder, parts, classes, tuple(notes))


def _files(root: Path) -> dict[str, Path]:
    """Return the file of each part; a single file is for training."""
    if root.is_file():
        return {"train": root} if root.suffix == ".json" and _looks_like_coco(root) else {}
    if not root.is_dir():
        return {}
    places = [root, root / "annotations", *(x for x in root.iterdir() if x.name.lower() in PARTS)]
    found = [
        x
        for place in places
        if place.is_dir()
        for x in sorted(place.glob("*.json"))
        if not is_hidden(x.name) and _looks_like_coco(x)
    ]
    named: dict[str, list[Path]] = defaultdict(list)
    for file in found:
        words = file.stem.lower().replace("-", "_").replace(".", "_").split("_")
        words += [word.removesuffix("2017") for word in words] + [file.parent.name.lower()]
        if (part := next((PARTS[x] for x in words if x in PARTS), None)) is not None:
            named[part].append(file)
    if "train" not in named:
        return {"train": found[0]} if len(found) == 1 else {}
    # Beside the instances, COCO has captions and keypoints of the same parts.
    return {
        part: next((x for x in files if "instances" in x.stem), files[0]) for part, files in named.items()
    }


def _looks_like_coco(file: Path) -> bool:
    """Whether a JSON file begins as COCO's do, or is small and has its sections."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
        stream.seek(0, 2)
        small = stream.tell() < 1 << 24
    if not small:
        return any(f'"{x}"'.encode() in head for x in (*_SECTIONS, "info", "licenses"))
    try:
        content = read_json(file)
    except ValueError:
        return False
    return isinstance(content, dict) and all(
        isinstance(content.get(x), list) for x in ("images", "categories")
    )


def _content(file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = read_json(file)
    except ValueError as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    content = {**content, "annotations": content.get("annotations", [])}
    for section, needed in (("images", ("id", "file_name")), ("categories", ("id", "name"))):
        for x in content[section]:
            if not isinstance(x, dict) or any(key not in x for key in needed):
                raise DataError(f"{file}: an entry of {section} lacks {' or '.join(needed)}: {str(x)[:80]}")
    return content


def _categories(content: dict[str, Any], file: Path) -> dict[Any, str]:
    """Return number -> name of the categories."""
    names = {x["id"]: str(x["name"]) for x in content["categories"]}
    if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise DataError(f"{file} has two categories of the name {twice[0]!r}: give each a name of its own")
    return names


def _samples(
    content: dict[str, Any], names: dict[Any, str], file: Path, root: Path, part: str
) -> tuple[Sample, ...]:
    by_image: dict[Any, list[ImageObject]] = defaultdict(list)
    known = {x["id"] for x in content["images"]}
    for x in content["annotations"]:
        by_image[x.get("image_id")].append(_object(x, names, known, file))
    folders = [x.format(part=name) for name in _names_of(part) for x in _FOLDERS]
    places = list(dict.fromkeys([file.parent, *(root / x for x in folders)]))
    samples, missing = [], []
    for x in content["images"]:
        found = next((y for y in places if why_no_file(y / x["file_name"]) is None), None)
        if found is None:
            missing.append(x["file_name"])
            continue
        places.remove(found)
        places.insert(0, found)  # most likely that of the next one, too
        path = found / x["file_name"]
        width, height = (x.get(key) for key in ("width", "height"))
        if not all(isinstance(side, int) and side > 0 for side in (width, height)):
            raise DataError(f"{file}: image {x['file_name']} has the size {width!r} x {height!r}")
        samples.append(Sample(path, Annotated(width, height, tuple(by_image[x["id"]]))))
    if missing:
        raise DataError(
            f"{file}: {len(missing):,} of {len(content['images']):,} images are not in {root} or its "
            f"folders: {shortened(missing)}"
        )
    return tuple(samples)


def _names_of(part: str) -> list[str]:
    return [name for name, x in PARTS.items() if x == part]


def _object(x: dict[str, Any], names: dict[Any, str], images: set[Any], file: Path) -> ImageObject:
    box, where = x.get("bbox"), f"{file}, annotation {x.get('id')}"
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
        raise DataError(f"{where}: bbox takes 4 numbers, got {str(box)[:60]}")
    if x.get("category_id") not in names:
        raise DataError(f"{where}: no category has the id {x.get('category_id')!r}")
    if x.get("image_id") not in images:
        raise DataError(f"{where}: no image has the id {x.get('image_id')!r}")
    mask = x.get("segmentation") or None
    if not _is_mask(mask):
        raise DataError(f"{where}: segmentation takes lists of numbers or run lengths, got {str(mask)[:60]}")
    area = x["area"] if _is_number(x.get("area")) else None
    return ImageObject(names[x["category_id"]], tuple(box), mask, bool(x.get("iscrowd", 0)), area)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_mask(value: Any) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("size"), list) and isinstance(value.get("counts"), (list, str))
    return value is None or (
        isinstance(value, list) and all(isinstance(x, list) and all(map(_is_number, x)) for x in value)
    )
