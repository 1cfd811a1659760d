"""Check the data of a segmentor: pairs of files, sizes, labels."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing
from mmvisionllama.host_internals import uses_part
from mmvisionllama.suggestions import shortened

LABELS_DECODED = 500
_EXIF_ORIENTATION, _FIRST_TURNED = 0x0112, 5
_PNG_END = 32  # Bytes at the end of a file in which a PNG says that it is complete.


def check_segmentation(dataset: BaseSegDataset, role: Role) -> Iterator[DataProblem | str]:
    """Yield what is wrong with the data set, and as text what was looked at."""
    name = role.name
    missing = [x for x in dataset.data_prefix.values() if x and not Path(x).is_dir()]
    if missing:
        yield from (DataProblem(name, f"the folder {folder} does not exist") for folder in missing)
        return
    problems = list(check_listing(dataset, role))
    yield from problems
    if problems:
        return
    pairs = [(x["img_path"], x["seg_map_path"]) for x in map(dataset.get_data_info, range(len(dataset)))]
    yield from _unpaired(dataset, name, pairs)
    pairs = [pair for pair in pairs if Path(pair[1]).exists()]
    yield from _sizes(role, pairs)
    yield from _labels(dataset, role, [pair[1] for pair in pairs])


def _unpaired(dataset: BaseSegDataset, name: str, pairs: list[tuple[str, str]]) -> Iterator[DataProblem]:
    without = [image for image, labels in pairs if not Path(labels).exists()]
    if without:
        counts = f"{len(without)} of {len(pairs)} images have no annotation"
        where = f"in {dataset.data_prefix['seg_map_path']} (suffix {dataset.seg_map_suffix})"
        yield DataProblem(name, f"{counts} {where}: {_names(without)}")
    if dataset.ann_file or uses_part(dataset):
        return  # the config uses a part of the images
    used = {Path(labels) for _, labels in pairs}
    folder = Path(dataset.data_prefix["seg_map_path"])
    extra = sorted(path for path in folder.rglob(f"*{dataset.seg_map_suffix}") if path not in used)
    if extra:
        yield DataProblem(name, f"{len(extra)} annotations have no image: {_names(extra)}")


def _sizes(role: Role, pairs: list[tuple[str, str]]) -> Iterator[DataProblem | str]:
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
        # A training skips corrupt images and names them, but not corrupt labels.
        fatal = role.evaluated or kind == "annotations"
        yield DataProblem(role.name, f"{len(paths)} {kind} cannot be read: {_names(paths)}", fatal)
    if different:
        counts = f"{len(different)} of {len(pairs)} annotations differ in size from their image"
        yield DataProblem(role.name, f"{counts} (width x height): {shortened(different)}")
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


def _labels(dataset: BaseSegDataset, role: Role, paths: list[str]) -> Iterator[DataProblem | str]:
    name, num_classes, names = role.name, role.num_classes, dataset.metainfo.get("classes")
    if num_classes is None:
        num_classes = len(names or ())
    elif names is not None and len(names) != num_classes:
        yield DataProblem(name, f"the data set has {len(names)} classes, the model predicts {num_classes}")
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
        yield DataProblem(
            name, f"{len(unreadable)} of the {sample} read are no label maps: {shortened(unreadable)}"
        )
    if outside:
        files = sorted(set().union(*outside.values()))
        allowed = f"0 to {num_classes - 1}, and {dataset.ignore_index} is ignored"
        reduced = " after label 0 was taken out (reduce_zero_label)" if dataset.reduce_zero_label else ""
        values = shortened([str(value) for value in sorted(outside)])
        counts = f"{len(files)} of the {sample} read hold labels out of range: {values}{reduced}"
        yield DataProblem(name, f"{counts}; allowed are {allowed}: {_names(files)}")
    elif not labelled and not unreadable:
        yield DataProblem(name, f"none of the {sample} read has a labelled pixel")
    yield f"{name}: read the labels of {sample}"


def _load_labels(dataset: BaseSegDataset, path: str) -> NDArray:
    """Load a label map as training will, but refuse what that would squeeze into 8 bits."""
    with Image.open(path) as image:
        if image.mode not in ("L", "P", "1"):
            raise ValueError(f"mode {image.mode}, expected one channel of 8 bits")
    wanted = {"reduce_zero_label": dataset.reduce_zero_label, "label_map": dataset.label_map}
    return LoadAnnotations()({"seg_map_path": path, "seg_fields": [], **wanted})["gt_seg_map"]


def _names(paths: Iterable[str | Path]) -> str:
    return shortened([Path(path).name for path in paths])
