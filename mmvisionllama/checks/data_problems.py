"""Problems of a data set, and the check of its list of samples that every task shares."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmvisionllama.datasets.image_files import ImageHeader, read_headers
from mmvisionllama.errors import UserError


@dataclass(frozen=True)
class DataProblem:
    """Something wrong with a data set; ``fatal`` if a run cannot be what it claims to be."""

    dataset: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.dataset}: {self.message}"


class Headers:
    """Headers of image files; each is read once."""

    def __init__(self) -> None:
        self._known: dict[str, ImageHeader | None] = {}

    def of(self, paths: Iterable[str]) -> list[ImageHeader | None]:
        """Return the headers of files; None for what is none of an image."""
        paths = list(paths)
        new = list(dict.fromkeys(x for x in paths if x not in self._known))
        self._known |= zip(new, read_headers(new), strict=True)
        return [self._known[x] for x in paths]

    def known(self, paths: Iterable[str]) -> dict[str, ImageHeader | None]:
        """Return the headers of those files that were read already."""
        return {path: self._known[path] for path in paths if path in self._known}


@dataclass(frozen=True)
class Role:
    """What a data set is to a run.

    Attributes:
        name: What reports call the data set.
        evaluated: Whether every image counts, or a training may skip some.
        num_classes: Of the model; None if labels are not to be compared with them.
        pipeline: The transforms of the data set.
        metrics: What evaluates it, as the config says.
        needed: Where samples keep the labels that are learned from or compared with.
        headers: Of its image files, read once.
    """

    name: str
    evaluated: bool
    num_classes: int | None
    pipeline: tuple[Callable, ...] = ()
    metrics: tuple[Mapping[str, Any], ...] = ()
    needed: tuple[str, ...] = ()
    headers: Headers = field(default_factory=Headers)

    @cached_property  # asked for each image or object
    def loader(self) -> Callable | None:
        """The transform that reads image files, if there is one."""
        return next((x for x in self.pipeline if hasattr(x, "imdecode_backend")), None)

    @cached_property
    def follows_orientation(self) -> bool:
        """Whether images are turned as their EXIF entry says when they are loaded."""
        color_type = getattr(self.loader, "color_type", "color")
        backend = getattr(self.loader, "imdecode_backend", "cv2")
        return color_type in ("color", "grayscale") and backend in ("cv2", "pillow")

    @cached_property
    def with_masks(self) -> bool:
        """Whether masks of objects are loaded or scored; yes where nothing is known."""
        known = self.pipeline or self.metrics
        return not known or self.scores("segm") or any(getattr(x, "with_mask", False) for x in self.pipeline)

    @cached_property
    def marks_missing_masks(self) -> bool:
        """Whether objects without a mask are left out, and do not end the loading of annotations."""
        loads = any(getattr(x, "with_mask", False) for x in self.pipeline)
        return not loads or any(type(x).__name__ == "MarkMissingMasks" for x in self.pipeline)

    @property
    def writes_predictions(self) -> bool:
        """Whether its metrics write predictions and compare them with nothing."""
        writers = (
            x.get("format_only") or str(x.get("type")).endswith("ClassPredictions") for x in self.metrics
        )
        return self.evaluated and bool(self.metrics) and all(writers)

    @property
    def needs_labels(self) -> str:
        """What labels are needed for, for a message that they are missing."""
        return "so nothing can be scored" if self.evaluated else "so there is nothing to learn from"

    def scores(self, kind: str) -> bool:
        """Whether a metric of COCO's kind scores ``bbox`` or ``segm``."""
        return any(
            kind in ([asked] if isinstance(asked, str) else asked)
            for x in self.metrics
            if not x.get("format_only")
            for asked in [x.get("metric") or ()]
        )


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
    except Exception as error:  # the hosts' readers fail on unsuitable files by almost any error
        places = dataset.ann_file or dataset.data_root
        yield DataProblem(role.name, f"{places} cannot be read: {type(error).__name__}: {error}")
        return
    if len(dataset) == 0:
        places = [x for x in (dataset.ann_file, *dataset.data_prefix.values()) if x]
        filtered = getattr(dataset, "filter_cfg", None)
        left_out = f", or filter_cfg={dict(filtered)} leaves everything out" if filtered else ""
        suffix = getattr(dataset, "img_suffix", None)
        searched = f" with names in {suffix}" if suffix else ""
        yield DataProblem(
            role.name, f"the data set is empty: nothing{searched} in {', '.join(places)}{left_out}"
        )


def samples_of(dataset: BaseDataset) -> list[dict[str, Any]]:
    """Return what a data set lists, without the copies that ``get_data_info`` makes; not to be changed."""
    return dataset.data_list or [dataset.get_data_info(index) for index in range(len(dataset))]
