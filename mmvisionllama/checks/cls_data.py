"""Check the data of a classifier or generator: folders, labels, classes."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmpretrain.datasets import BaseDataset, CustomDataset, MultiLabelDataset
from mmpretrain.datasets.custom import find_folders

from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing, samples_of
from mmvisionllama.checks.evaluators import LABEL_METRICS, name_of
from mmvisionllama.checks.image_data import check_dropped, check_images
from mmvisionllama.datasets.image_files import EXTENSIONS, is_hidden
from mmvisionllama.host_internals import uses_part
from mmvisionllama.suggestions import shortened


def check_classification(dataset: BaseDataset, role: Role) -> Iterator[DataProblem | str]:
    """Yield what is wrong with the data set, and as text what was looked at."""
    problems = list(_readable_listing(dataset, role))
    yield from problems
    if problems:
        return
    yield from check_images(role, [x["img_path"] for x in samples_of(dataset) if "img_path" in x])
    folders = isinstance(dataset, CustomDataset) and not dataset.ann_file
    if folders and not uses_part(dataset):
        folder = Path(dataset.img_prefix)
        yield from check_dropped(role, folder, dataset.is_valid_file, lambda x: _extensions(dataset, x))
    if not getattr(dataset, "with_label", True):
        compared = {name_of(x) for x in role.metrics} & LABEL_METRICS
        if compared if role.evaluated else role.num_classes is not None:
            yield DataProblem(role.name, f"it has no labels (with_label=False), {role.needs_labels}")
        yield f"{role.name}: {len(dataset):,} images without labels"
        return
    names = dataset.metainfo.get("classes")
    if isinstance(dataset, MultiLabelDataset):
        yield f"{role.name}: {len(dataset):,} images of several labels each"
        return
    labels = np.bincount(dataset.get_gt_labels().astype(int))
    if folders:
        yield from _order_of_folders(dataset, role)
    known = role.num_classes or len(names or ())
    if names is not None and role.num_classes not in (None, len(names)):
        yield DataProblem(
            role.name,
            f"the data set has {len(names)} classes ({shortened(names)}), the model's head predicts "
            f"{role.num_classes}; {_set_number(len(names))}",
        )
    elif len(labels) > known:
        yield DataProblem(role.name, f"labels go up to {len(labels) - 1}, allowed are 0 to {known - 1}")
    if role.num_classes is not None and known > 1 and np.count_nonzero(labels) == 1:
        only = int(labels.argmax())
        what = names[only] if names is not None and only < len(names) else only
        yield DataProblem(
            role.name,
            f"all {labels.sum():,} images in {dataset.img_prefix} are of one class, {what!r}; there must be "
            f"images of at least two of the {known} classes",
        )
    elif len(labels) <= known == len(names or range(known)) and not uses_part(dataset):
        yield from _empty_classes(
            dataset, role, [x for x in range(known) if x >= len(labels) or not labels[x]]
        )
    yield f"{role.name}: {labels.sum():,} images of {np.count_nonzero(labels)} classes"


def _empty_classes(dataset: BaseDataset, role: Role, empty: list[int]) -> Iterator[DataProblem]:
    """Yield classes without images; that is an error for a training which drops those they have."""
    if not empty:
        return
    names, places = dataset.metainfo.get("classes"), getattr(dataset, "folder_to_idx", None) or {}
    folders = [Path(dataset.img_prefix, name) for name, place in places.items() if place in empty]
    dropped = any(Path(x).suffix.lower() in EXTENSIONS for y in folders for _, _, z in os.walk(y) for x in z)
    what = shortened([str(names[x] if names else x) for x in empty])
    fix = "their files are not taken, see above" if dropped else "leave them out, or add images"
    text = f"{len(empty)} of {role.num_classes or len(names)} classes have no image: {what}; {fix}"
    yield DataProblem(role.name, text, fatal=dropped and not role.evaluated)


def _extensions(dataset: CustomDataset, new: set[str]) -> str:
    return (
        f"To take them, set dataset.extensions={tuple(sorted({*dataset.extensions, *map(str.lower, new)}))}"
    )


def _order_of_folders(dataset: CustomDataset, role: Role) -> Iterator[DataProblem]:
    """Yield names of classes that are those of folders, in another order."""
    folders, names = tuple(sorted(dataset.folder_to_idx)), tuple(dataset.CLASSES)
    if names != folders and {*names} & {*folders}:
        moved = [name for name, folder in zip(names, folders, strict=True) if name != folder]
        yield DataProblem(
            role.name,
            f"dataset.metainfo.classes names the folders in {dataset.img_prefix} in another order than that "
            f"of the alphabet, which decides the labels, so names would be wrong: {shortened(moved)}. Write "
            f"{shortened(folders)}, or leave metainfo.classes out",
        )


def _set_number(count: int) -> str:
    return (
        f"set model.head.num_classes={count} (model.network.num_classes of a generator) and "
        f"data_preprocessor.num_classes={count}"
    )


def _readable_listing(dataset: BaseDataset, role: Role) -> Iterator[DataProblem]:
    folder = dataset.img_prefix if isinstance(dataset, CustomDataset) and not dataset.ann_file else None
    if folder and not Path(folder).is_dir():
        yield DataProblem(role.name, f"the folder {folder} does not exist")
        return
    hidden = [x for x in find_folders(folder)[0] if is_hidden(x)] if folder and dataset.with_label else []
    if hidden:
        paths = " ".join(shlex.quote(str(Path(folder, x))) for x in hidden)
        yield DataProblem(
            role.name, f"{shortened(hidden)} in {folder} are no classes. Remove them: rm -r {paths}"
        )
        return
    listed = isinstance(dataset, CustomDataset) and dataset.ann_file and dataset.with_label
    if listed and (wrong := _wrong_lines(dataset)):
        yield DataProblem(role.name, f"{dataset.ann_file}: {wrong}")
        return
    if folder and dataset.with_label and dataset.CLASSES is not None:
        found = find_folders(folder)[0]
        if len(found) != len(dataset.CLASSES):
            also = "" if role.num_classes is None else f", and {_set_number(len(found))}"
            yield DataProblem(
                role.name,
                f"{folder} has {len(found)} class folders ({shortened(found)}), the data set "
                f"{len(dataset.CLASSES)} classes. Where these folders are all, name them in "
                f"dataset.metainfo.classes{also}",
            )
            return
    yield from check_listing(dataset, role)


def _wrong_lines(dataset: CustomDataset) -> str | None:
    """Say what is wrong with a list of images and labels, which is a line ``path label`` for each image."""
    if not Path(dataset.ann_file).is_file():
        return None
    for number, line in enumerate(Path(dataset.ann_file).read_text().splitlines(), 1):
        path, _, label = line.strip().rpartition(" ")
        if not path or not (label.isascii() and label.isdigit()):
            return f"line {number} is {line!r:.60}, not a path, a blank, and a label: 0, 1, ..."
    return None
