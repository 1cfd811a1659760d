"""Check the data of a classifier or generator: folders, labels, classes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmpretrain.datasets import BaseDataset, CustomDataset
from mmpretrain.datasets.custom import find_folders

from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing
from mmvisionllama.suggestions import shortened


def check_classification(dataset: BaseDataset, role: Role) -> Iterator[DataProblem | str]:
    """Yield what is wrong with the data set, and as text what was looked at."""
    problems = list(_readable_listing(dataset, role))
    yield from problems
    if problems or not getattr(dataset, "with_label", True):
        return
    names = dataset.metainfo.get("classes")
    labels = np.bincount(dataset.get_gt_labels().astype(int))
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
    yield f"{role.name}: {labels.sum():,} images of {np.count_nonzero(labels)} classes"


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
    try:
        yield from check_listing(dataset, role)
    except (AssertionError, RuntimeError) as error:  # raised by the host for folders that it cannot use
        yield DataProblem(role.name, str(error))
