"""What can be wrong with the data of a classifier."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmpretrain.datasets import BaseDataset, CustomDataset

from mmvisionllama.datasets.checks import Problem, Role, findings, listing


@findings.register
def _(dataset: BaseDataset, role: Role) -> Iterator[Problem | str]:
    problems = list(_readable_listing(dataset, role.name))
    yield from problems
    if problems or not getattr(dataset, "with_label", True):
        return
    names = dataset.metainfo.get("classes")
    labels = np.bincount(dataset.get_gt_labels().astype(int))
    known = role.num_classes or len(names or ())
    if names is not None and role.num_classes not in (None, len(names)):
        yield Problem(
            role.name, f"the data set has {len(names)} classes, the model's head predicts {role.num_classes}"
        )
    elif len(labels) > known:
        yield Problem(role.name, f"labels go up to {len(labels) - 1}, allowed are 0 to {known - 1}")
    if known > 1 and np.count_nonzero(labels) == 1:
        only = int(labels.argmax())
        what = names[only] if names is not None and only < len(names) else only
        yield Problem(role.name, f"all {labels.sum():,} images are of one class, {what!r}")
    yield f"{role.name}: {labels.sum():,} images of {np.count_nonzero(labels)} classes"


def _readable_listing(dataset: BaseDataset, name: str) -> Iterator[Problem]:
    folder = dataset.img_prefix if isinstance(dataset, CustomDataset) and not dataset.ann_file else None
    if folder and not Path(folder).is_dir():
        yield Problem(name, f"the folder {folder} does not exist")
        return
    try:
        yield from listing(dataset, name)
    except (AssertionError, RuntimeError) as error:  # how the host refuses what it finds
        yield Problem(name, str(error))
