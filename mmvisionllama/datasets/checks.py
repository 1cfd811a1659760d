"""What can be wrong with data on disk, found before a run starts."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.config.errors import ConfigError
from mmvisionllama.names import shortened

LABELS_DECODED = 500
_EXIF_ORIENTATION, _FIRST_TURNED = 0x0112, 5
_PNG_END = 32  # Bytes at the end of a file in which a PNG says that it is complete.
# The folder that a data root ends in or lies in -> how it comes to be.
_PREPARE = {
    "digitscenes": "make it: python tools/prepare_digitscenes.py",
    "ade": "docs/data.md says how to get ADE20K",
    "imagenet": "docs/data.md says how to get ImageNet-1K",
    "coco": "docs/data.md says how to get COCO",
}


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set; ``fatal`` if a run cannot be what it claims to be."""

    dataset: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.dataset}: {self.message}"


@dataclass
class Checked:
    """What a check found, and in words what it looked at."""

    problems: list[Problem]
    looked_at: list[str]


@dataclass(frozen=True)
class Role:
    """What a data set is to a run: what reports call it, whether it is evaluated, and the model's classes."""

    name: str
    evaluated: bool
    num_classes: int | None


def require_sound_data(cfg: Config, *loaders: str) -> list[str]:
    """Check the data sets of the named data loaders, e.g. ``"train_dataloader"``.

    Returns: What was looked at and what is wrong but not fatal, for the log.
    Raises: ConfigError: lists everything that is fatal.
    """
    init_default_scope(cfg.get("default_scope", "mmengine"))
    checked, seen = Checked([], []), []
    for name in (name for name in loaders if cfg.get(name) is not None):
        dataset, evaluated = cfg[name].dataset, not name.startswith("train")
        if (dataset, evaluated) not in seen:
            seen.append((dataset, evaluated))
            this = check_dataset(dataset, classes_of(cfg.model), evaluated)
            checked.problems += this.problems
            checked.looked_at += this.looked_at
    fatal = [problem for problem in checked.problems if problem.fatal]
    if fatal:
        raise ConfigError("the data cannot be used:\n" + "\n".join(f"  {problem}" for problem in fatal))
    return [*checked.looked_at, *map(str, checked.problems)]


def classes_of(model: dict[str, Any]) -> int | None:
    """Return the number of classes of the (last) decode head of a model's config, if it has one."""
    head = model.get("decode_head")
    head = head[-1] if isinstance(head, (list, tuple)) else head
    return None if head is None else head.get("num_classes")


def check_dataset(
    dataset: dict[str, Any] | BaseDataset, num_classes: int | None = None, evaluated: bool = False
) -> Checked:
    """Check a data set or its config, and all that a wrapper such as RepeatDataset or ConcatDataset holds.

    Args:
        dataset: A config is built without its pipeline and without reading annotations.
        num_classes: Classes of the model, or None if its labels are not to be compared with them.
        evaluated: Whether every image counts, or a training may skip some.
    """
    checked = Checked([], [])
    for leaf in _leaves(dataset):
        built = leaf if isinstance(leaf, BaseDataset) else _build(leaf)
        name = f"{type(built).__name__} ({'evaluation' if evaluated else 'training'})"
        root = built.data_root or "."
        if not Path(root).is_dir():
            hints = [hint for folder, hint in _PREPARE.items() if folder in Path(root).parts]
            message = f"the data root {Path(root).absolute()} does not exist"
            checked.problems.append(Problem(name, "; ".join([message, *hints])))
            continue
        for finding in findings(built, Role(name, evaluated, num_classes)):
            (checked.problems if isinstance(finding, Problem) else checked.looked_at).append(finding)
    return checked


@singledispatch
def findings(dataset: BaseDataset, role: Role) -> Iterator[Problem | str]:
    """Yield the problems of one kind of data set, and as text what was looked at.

    A kind of data set that needs more than its annotation file registers its own function.
    """
    yield from _listing(dataset, role.name)


@findings.register
def _(dataset: BaseSegDataset, role: Role) -> Iterator[Problem | str]:
    name = role.name
    missing = [x for x in dataset.data_prefix.values() if x and not Path(x).is_dir()]
    if missing:
        yield from (Problem(name, f"the folder {folder} does not exist") for folder in missing)
        return
    listing = list(_listing(dataset, name))
    yield from listing
    if listing:
        return
    pairs = [(x["img_path"], x["seg_map_path"]) for x in map(dataset.get_data_info, range(len(dataset)))]
    yield from _unpaired(dataset, name, pairs)
    pairs = [pair for pair in pairs if Path(pair[1]).exists()]
    yield from _sizes(role, pairs)
    yield from _labels(dataset, role, [pair[1] for pair in pairs])


def _listing(dataset: BaseDataset, name: str) -> Iterator[Problem]:
    """Read the list of samples, and report an annotation file that is missing or a list that is empty."""
    if dataset.ann_file and not Path(dataset.ann_file).exists():
        yield Problem(name, f"the annotation file {dataset.ann_file} does not exist")
        return
    dataset.full_init()
    if len(dataset) == 0:
        places = [x for x in (dataset.ann_file, *dataset.data_prefix.values()) if x]
        suffix = getattr(dataset, "img_suffix", None)
        searched = f" with names in {suffix}" if suffix else ""
        yield Problem(name, f"the data set is empty: nothing{searched} in {', '.join(places)}")


def _unpaired(dataset: BaseSegDataset, name: str, pairs: list[tuple[str, str]]) -> Iterator[Problem]:
    without = [image for image, labels in pairs if not Path(labels).exists()]
    if without:
        counts = f"{len(without)} of {len(pairs)} images have no annotation"
        where = f"in {dataset.data_prefix['seg_map_path']} (suffix {dataset.seg_map_suffix})"
        yield Problem(name, f"{counts} {where}: {_names(without)}")
    if dataset.ann_file or dataset._indices is not None:
        return  # A part of the images is used on purpose.
    used = {Path(labels) for _, labels in pairs}
    folder = Path(dataset.data_prefix["seg_map_path"])
    extra = sorted(path for path in folder.rglob(f"*{dataset.seg_map_suffix}") if path not in used)
    if extra:
        yield Problem(name, f"{len(extra)} annotations have no image: {_names(extra)}")


def _sizes(role: Role, pairs: list[tuple[str, str]]) -> Iterator[Problem | str]:
    different, unreadable = [], defaultdict(list)
    for pair in pairs:
        sizes = [_size(path) for path in pair]
        for kind, path, size in zip(("images", "annotations"), pair, sizes, strict=True):
            if size is None:
                unreadable[kind].append(path)
        if None not in sizes and sizes[0] != sizes[1]:
            (width, height), (label_width, label_height) = sizes
            different.append(f"{Path(pair[0]).name} {width}x{height}, labels {label_width}x{label_height}")
    for kind, paths in unreadable.items():
        # A training names and skips corrupt images, but it cannot do without the labels of an image.
        fatal = role.evaluated or kind == "annotations"
        yield Problem(role.name, f"{len(paths)} {kind} cannot be read: {_names(paths)}", fatal)
    if different:
        counts = f"{len(different)} of {len(pairs)} annotations differ in size from their image"
        yield Problem(role.name, f"{counts} (width x height): {shortened(different)}")
    yield f"{role.name}: compared the sizes of {len(pairs):,} images and annotations"


def _size(path: str) -> tuple[int, int] | None:
    """Return width and height from the header of a file, as the loader will turn the image."""
    try:
        with Image.open(path) as image:
            # Pillow decodes a whole PNG to look for the orientation, so it is asked only where there is one.
            exif = image.getexif() if image.info.get("exif") else {}
            if image.format == "PNG":
                image.fp.seek(-_PNG_END, os.SEEK_END)
                if b"IEND" not in image.fp.read():
                    return None
            return image.size[::-1] if exif.get(_EXIF_ORIENTATION, 1) >= _FIRST_TURNED else image.size
    except (OSError, SyntaxError, ValueError):
        return None


def _labels(dataset: BaseSegDataset, role: Role, paths: list[str]) -> Iterator[Problem | str]:
    name, num_classes, names = role.name, role.num_classes, dataset.metainfo.get("classes")
    if num_classes is None:
        num_classes = len(names or ())
    elif names is not None and len(names) != num_classes:
        yield Problem(name, f"the data set has {len(names)} classes, the model predicts {num_classes}")
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(LABELS_DECODED, len(paths))).round().astype(int))
    unreadable, outside, labelled = [], defaultdict(list), not len(chosen)
    for path in (paths[index] for index in chosen):
        try:
            values = np.unique(_load_labels(dataset, path))
        except (OSError, SyntaxError, ValueError) as error:
            unreadable.append(f"{Path(path).name} ({error})")
            continue
        known = (values < num_classes) & (values != dataset.ignore_index)
        labelled = labelled or bool(known.any())
        for value in values[~known & (values != dataset.ignore_index)]:
            outside[int(value)].append(path)
    sample = f"{len(chosen):,} of {len(paths):,} annotations"
    if unreadable:
        yield Problem(
            name, f"{len(unreadable)} of the {sample} read are no label maps: {shortened(unreadable)}"
        )
    if outside:
        files = sorted(set().union(*outside.values()))
        allowed = f"0 to {num_classes - 1}, and {dataset.ignore_index} is ignored"
        reduced = " after label 0 was taken out (reduce_zero_label)" if dataset.reduce_zero_label else ""
        values = shortened([str(value) for value in sorted(outside)])
        counts = f"{len(files)} of the {sample} read hold labels out of range: {values}{reduced}"
        yield Problem(name, f"{counts}; allowed are {allowed}: {_names(files)}")
    elif not labelled and not unreadable:
        yield Problem(name, f"none of the {sample} read has a labelled pixel")
    yield f"{name}: read the labels of {sample}"


def _load_labels(dataset: BaseSegDataset, path: str) -> NDArray:
    """Load a label map as training will, but refuse what that would squeeze into 8 bits."""
    with Image.open(path) as image:
        if image.mode not in ("L", "P", "1"):
            raise ValueError(f"mode {image.mode}, expected one channel of 8 bits")
    wanted = {"reduce_zero_label": dataset.reduce_zero_label, "label_map": dataset.label_map}
    return LoadAnnotations()({"seg_map_path": path, "seg_fields": [], **wanted})["gt_seg_map"]


def _leaves(dataset: dict[str, Any] | BaseDataset) -> Iterator[dict[str, Any] | BaseDataset]:
    is_cfg = isinstance(dataset, dict)
    inner = [(dataset.get(key) if is_cfg else getattr(dataset, key, None)) for key in ("dataset", "datasets")]
    children = [*([] if inner[0] is None else [inner[0]]), *(inner[1] or [])]
    if not children:
        yield dataset
    for child in children:
        yield from _leaves(child)


def _build(cfg: dict[str, Any]) -> BaseDataset:
    return DATASETS.build({**cfg, "pipeline": [], "lazy_init": True, "serialize_data": False})


def _names(paths: Iterable[str | Path]) -> str:
    return shortened([Path(path).name for path in paths])
