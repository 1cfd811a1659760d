"""What can be wrong with the data of a classifier."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmpretrain.datasets import BaseDataset, CustomDataset
from mmpretrain.datasets.custom import find_folders

from mmvisionllama.datasets.checks import Problem, Role, findings, listing
from mmvisionllama.names import shortened


@findings.register
def _(dataset: BaseDataset, role: Role) -> Iterator[Problem | str]:
    problems = list(_readable_listing(dataset, role))
    yield from problems
    if problems or not getattr(dataset, "with_label", True):
        return
    names = dataset.metainfo.get("classes")
    labels = np.bincount(dataset.get_gt_labels().astype(int))
    known = role.num_classes or len(names or ())
    if names is not None and role.num_classes not in (None, len(names)):
        yield Problem(
            role.name,
            f"the data set has {len(names)} classes ({shortened(names)}), the model's head predicts "
            f"{role.num_classes}; {_set_number(len(names))}",
        )
    elif len(labels) > known:
        yield Problem(role.name, f"labels go up to {len(labels) - 1}, allowed are 0 to {known - 1}")
    if role.num_classes is not None and known > 1 and np.count_nonzero(labels) == 1:
        only = int(labels.argmax())
        what = names[only] if names is not None and only < len(names) else only
        yield Problem(
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


def _readable_listing(dataset: BaseDataset, role: Role) -> Iterator[Problem]:
    folder = dataset.img_prefix if isinstance(dataset, CustomDataset) and not dataset.ann_file else None
    if folder and not Path(folder).is_dir():
        yield Problem(role.name, f"the folder {folder} does not exist")
        return
    if folder and dataset.with_label and dataset.CLASSES is not None:
        found = find_folders(folder)[0]
        if len(found) != len(dataset.CLASSES):
            also = "" if role.num_classes is None else f", and {_set_number(len(found))}"
            yield Problem(
                role.name,
                f"{folder} has {len(found)} class folders ({shortened(found)}), the data set "
                f"{len(dataset.CLASSES)} classes. Where these folders are all, name them in "
                f"dataset.metainfo.classes{also}",
            )
            return
    try:
        yield from listing(dataset, role.name)
    except (AssertionError, RuntimeError) as error:  # how the host refuses what it finds
        yield Problem(role.name, str(error))
