"""Problems of a data set, and the check of its list of samples that every task shares."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.dataset import BaseDataset

from mmvisionllama.errors import UserError


@dataclass(frozen=True)
class DataProblem:
    """Something wrong with a data set; ``fatal`` if a run cannot be what it claims to be."""

    dataset: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.dataset}: {self.message}"


@dataclass(frozen=True)
class Role:
    """What a data set is to a run: what reports call it, whether it is evaluated, and the model's classes."""

    name: str
    evaluated: bool
    num_classes: int | None


def check_listing(dataset: BaseDataset, role: Role) -> Iterator[DataProblem]:
    """Read the list of samples, and yield an annotation file that is missing or a list that is empty."""
    if dataset.ann_file and not Path(dataset.ann_file).exists():
        yield DataProblem(role.name, f"the annotation file {dataset.ann_file} does not exist")
        return
    try:
        dataset.full_init()
    except UserError as error:
        places = dataset.ann_file or dataset.data_root
        yield DataProblem(role.name, f"{places} cannot be read: {error}")
        return
    if len(dataset) == 0:
        places = [x for x in (dataset.ann_file, *dataset.data_prefix.values()) if x]
        suffix = getattr(dataset, "img_suffix", None)
        searched = f" with names in {suffix}" if suffix else ""
        yield DataProblem(role.name, f"the data set is empty: nothing{searched} in {', '.join(places)}")
