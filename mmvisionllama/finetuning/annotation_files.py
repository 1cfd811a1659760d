"""Annotation files of found data, in the formats of the hosts' data sets."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmvisionllama.files import atomic_path
from mmvisionllama.finetuning.found_data import Annotated, FoundData, Sample, Task
from mmvisionllama.finetuning.label_maps import LabelMaps, written_maps
from mmvisionllama.suggestions import shortened

_INLINE = 80  # letters of class names that a config has itself; more go into a file
_LEAST_WITH_MASKS = 0.95


@dataclass(frozen=True)
class Annotations:
    """The data of a training as its config names them.

    Attributes:
        root: Of the images.
        files: Annotation file of each part.
        counts: Images of each part.
        classes: Their names.
        class_list: The names, or the file that has them.
        has_masks: Whether objects are learned with their masks.
        options: What else the data set takes (segmentation).
        notes: What a user should know.
    """

    root: Path
    files: dict[str, Path]
    counts: dict[str, int]
    classes: tuple[str, ...]
    class_list: Any
    has_masks: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def write_annotations(
    task: Task, found: FoundData, folder: Path, final: Path, label_maps: LabelMaps | None = None
) -> Annotations:
    """Write the annotation files of every part into ``folder``.

    Args:
        final: Where the folder will be when the config is read.
        label_maps: What the values in masks mean (segmentation).
    """
    folder.mkdir(parents=True)
    classes = label_maps.classes if label_maps is not None else found.classes
    names: Any = list(classes)
    if sum(len(x) + 4 for x in classes) > _INLINE:
        (folder / "classes.txt").write_text("".join(f"{x}\n" for x in classes), encoding="utf-8")
        names = str(final / "classes.txt")
    options, notes, has_masks, kind = {}, [], False, "txt"
    if task == "det":
        has_masks, notes = _has_masks(found)
        kind = "json"
        for part, samples in found.parts.items():
            _write_coco(folder / f"{part}.json", samples, found, has_masks)
    else:
        lines = {part: _lines(task, samples, found) for part, samples in found.parts.items()}
        if task == "seg":
            options, lines = written_maps(found, label_maps, folder / "label_maps", final / "label_maps")
        for part, of_part in lines.items():
            (folder / f"{part}.txt").write_text("".join(f"{x}\n" for x in of_part), encoding="utf-8")
    return Annotations(
        found.root,
        files={part: final / f"{part}.{kind}" for part in found.parts},
        counts={part: len(samples) for part, samples in found.parts.items()},
        classes=classes,
        class_list=names,
        has_masks=has_masks,
        options=options,
        notes=tuple(notes),
    )


def _lines(task: Task, samples: Sequence[Sample], found: FoundData) -> list[str]:
    """Write file and number of the class of each image; without classes the file alone."""
    numbers = {name: number for number, name in enumerate(found.classes)}
    files = (_relative(x.image, found.root) for x in samples)
    if task != "cls":
        return list(files)
    return [f"{file} {numbers[x.label]}" for file, x in zip(files, samples, strict=True)]


def _relative(path: Path, root: Path) -> str:
    """Return a path from the root of the data; a table may name files elsewhere."""
    return Path(os.path.relpath(path, root)).as_posix()


def _has_masks(found: FoundData) -> tuple[bool, list[str]]:
    """Say whether masks are to be learned, and why not if only some objects have one."""
    objects = [x for part in found.parts.values() for sample in part for x in sample.label.objects]
    without = [x for x in objects if not x.mask]
    if not any(x.is_masked for x in objects):
        return False, ["no object has a mask: boxes alone are learned"]
    if len(without) > (1 - _LEAST_WITH_MASKS) * len(objects):
        return False, [f"{len(without):,} objects have no mask: boxes alone are learned"]
    if not without:
        return True, []
    names = shortened(sorted({x.name for x in without}))
    return True, [
        f"{len(without):,} of {len(objects):,} objects have no mask and count for nothing ({names})"
    ]


def _write_coco(path: Path, samples: Sequence[Sample], found: FoundData, has_masks: bool) -> None:
    """Write a file in COCO's format: categories 1, 2, ... in the order of the classes."""
    ids = {name: number for number, name in enumerate(found.classes, 1)}
    images, annotations = [], []
    for number, sample in enumerate(samples, 1):
        label: Annotated = sample.label
        name = _relative(sample.image, found.root)
        images.append({"id": number, "file_name": name, "width": label.width, "height": label.height})
        for x in label.objects:
            about = {"id": len(annotations) + 1, "image_id": number, "category_id": ids[x.name]}
            # A crowd is neither learned nor scored: so are objects without a mask among those with one.
            crowd = x.crowd or (has_masks and not x.mask)
            about |= {"bbox": list(x.box), "area": x.pixels, "iscrowd": int(crowd)}
            annotations.append(about | ({"segmentation": x.mask or [x.corners]} if has_masks else {}))
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    with atomic_path(path) as temporary:
        content = {"images": images, "annotations": annotations, "categories": categories}
        temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
