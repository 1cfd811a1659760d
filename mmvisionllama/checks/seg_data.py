"""Check the data of a segmentor: pairs of files, sizes, labels."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing, samples_of
from mmvisionllama.checks.image_data import check_dropped, check_images, names_of, spaced
from mmvisionllama.host_internals import uses_part
from mmvisionllama.suggestions import shortened

LABELS_DECODED = 500
_MANY = 8  # label values out of range


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
    yield from check_images(role, [x["img_path"] for x in samples_of(dataset)])
    if not dataset.ann_file and not uses_part(dataset):
        folder = Path(dataset.data_prefix["img_path"])
        suffixes = (dataset.img_suffix, *_suffixes_of_labels_within(folder, dataset))
        yield from check_dropped(role, folder, lambda x: x.endswith(suffixes), _other_suffix)
    if not dataset.data_prefix.get("seg_map_path"):
        yield f"{name}: {len(dataset):,} images without labels"
        if not role.writes_predictions:
            yield DataProblem(name, f"it has no label maps (data_prefix.seg_map_path), {role.needs_labels}")
        return
    if dataset.seg_map_suffix.lower() in (".jpg", ".jpeg"):
        text = "its label maps are JPEGs, which compress by changing values, so labels are others at edges"
        yield DataProblem(name, f"{text}; save them as PNG (seg_map_suffix='.png')")
    pairs = [(x["img_path"], x["seg_map_path"]) for x in samples_of(dataset)]
    yield from _unpaired(dataset, name, pairs)
    pairs = [pair for pair in pairs if os.path.exists(pair[1])]
    yield from _sizes(role, pairs)
    yield from _labels(dataset, role, [pair[1] for pair in pairs])


def _suffixes_of_labels_within(folder: Path, dataset: BaseSegDataset) -> list[str]:
    labels = dataset.data_prefix.get("seg_map_path")
    return (
        [dataset.seg_map_suffix] if labels and Path(labels).resolve().is_relative_to(folder.resolve()) else []
    )


def _other_suffix(suffixes: set[str]) -> str:
    return (
        f"The data set takes one suffix, case counts: rename them, or set "
        f"dataset.img_suffix={min(suffixes)!r} and leave the others out"
    )


def _unpaired(dataset: BaseSegDataset, name: str, pairs: list[tuple[str, str]]) -> Iterator[DataProblem]:
    without = [image for image, labels in pairs if not os.path.exists(labels)]
    if without:
        counts = f"{len(without)} of {len(pairs)} images have no annotation"
        where = f"in {dataset.data_prefix['seg_map_path']} (suffix {dataset.seg_map_suffix})"
        yield DataProblem(name, f"{counts} {where}: {names_of(without)}")
    if dataset.ann_file or uses_part(dataset):
        return  # the config uses a part of the images
    used = {os.path.normpath(labels) for _, labels in pairs}
    folder = os.path.normpath(dataset.data_prefix["seg_map_path"])
    there = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    extra = sorted(path for path in there if path.endswith(dataset.seg_map_suffix) and path not in used)
    if extra:
        yield DataProblem(name, f"{len(extra)} annotations have no image: {names_of(extra)}")


def _sizes(role: Role, pairs: list[tuple[str, str]]) -> Iterator[DataProblem | str]:
    images, labels = (role.headers.of(paths) for paths in zip(*pairs, strict=True)) if pairs else ((), ())
    different = []
    for (path, _), image, label in zip(pairs, images, labels, strict=True):
        if image is not None and label is not None:
            width, height = image.loaded_size(role.follows_orientation)
            if (width, height) != label.size:
                different.append(
                    f"{Path(path).name} {width}x{height}, labels {label.size[0]}x{label.size[1]}"
                )
    if unreadable := [path for (_, path), label in zip(pairs, labels, strict=True) if label is None]:
        yield DataProblem(role.name, f"{len(unreadable)} annotations cannot be read: {names_of(unreadable)}")
    if different:
        counts = f"{len(different)} of {len(pairs)} annotations differ in size from their image"
        yield DataProblem(role.name, f"{counts} (width x height): {shortened(different)}")
    yield f"{role.name}: compared the sizes of {len(pairs):,} images and annotations"


def _labels(dataset: BaseSegDataset, role: Role, paths: list[str]) -> Iterator[DataProblem | str]:
    name, num_classes, names = role.name, role.num_classes, dataset.metainfo.get("classes")
    if num_classes is None:
        num_classes = len(names or ())
    elif names is not None and len(names) != num_classes:
        yield DataProblem(name, f"the data set has {len(names)} classes, the model predicts {num_classes}")
    chosen = spaced(len(paths), LABELS_DECODED)
    unreadable, outside, present, ignored = [], defaultdict(list), set(), False
    for path in (paths[index] for index in chosen):
        try:
            values = np.flatnonzero(np.bincount(_load_labels(dataset, path).ravel()))
        except (OSError, SyntaxError, ValueError) as error:
            unreadable.append(f"{Path(path).name} ({error})")
            continue
        known = (values < num_classes) & (values != dataset.ignore_index)
        present.update(values[known].tolist())
        ignored = ignored or bool((values == dataset.ignore_index).any())
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
        smoothed = (
            ". So many values come from resizing or compressing masks: resize them with nearest neighbours, "
            "and save them as PNG"
        )
        many = smoothed if len(outside) > _MANY else ""
        yield DataProblem(name, f"{counts}; allowed are {allowed}: {names_of(files)}{many}")
    elif chosen and not unreadable and len(names or range(num_classes)) == num_classes:
        absent = [str(names[x] if names else x) for x in range(num_classes) if x not in present]
        certain = ignored or len(chosen) == len(paths)
        alone = len(present) == 1 and certain and not role.evaluated
        yield from _absent(dataset, role, sample, absent, bool(present), ignored, alone)
    yield f"{name}: read the labels of {sample}"


def _absent(
    dataset: BaseSegDataset,
    role: Role,
    sample: str,
    absent: list[str],
    present: bool,
    ignored: bool,
    alone: bool,
) -> Iterator[DataProblem]:
    if not present:
        yield DataProblem(role.name, f"none of the {sample} read has a labelled pixel")
    elif absent:
        text = f"no pixel of the {sample} read has the classes {shortened(absent)}"
        if ignored:
            text += f", and {dataset.ignore_index} is ignored: where it means a class, write its number"
        if dataset.reduce_zero_label:
            text += "; label 0 was taken out (reduce_zero_label=True)"
        yield DataProblem(role.name, text + ("; there is one class to learn" if alone else ""), fatal=alone)


def _load_labels(dataset: BaseSegDataset, path: str) -> NDArray:
    """Load a label map as training will, but refuse what that would squeeze into 8 bits."""
    with Image.open(path) as image:
        if image.mode not in ("L", "P", "1"):
            raise ValueError(f"mode {image.mode}, expected one channel of 8 bits")
    wanted = {"reduce_zero_label": dataset.reduce_zero_label, "label_map": dataset.label_map}
    return LoadAnnotations()({"seg_map_path": path, "seg_fields": [], **wanted})["gt_seg_map"]
