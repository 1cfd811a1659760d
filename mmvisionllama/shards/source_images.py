"""Images to be sharded: parts, files, labels and classes of a tree, as trainings from folders read it."""

import hashlib
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from numpy.typing import NDArray

from mmvisionllama.checks.data import check_dataset
from mmvisionllama.datasets.shard_index import UNLABELLED
from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import has_image, part_folders, subfolders
from mmvisionllama.suggestions import shortened

_CHUNK, _READERS = 256, 8
_WORDNET = re.compile(r"(n\d{8})_\d+\.\w+")  # an image of ImageNet's training set


@dataclass(frozen=True)
class SourcePart:
    """Images of a part, in the order of the data set that reads folders.

    Attributes:
        folder: That their names begin at.
        names: Of their files, relative to ``folder``.
        labels: (N,); -1 for none.
        sizes: (N,) bytes.
    """

    folder: Path
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def digest(self) -> str:
        """Return the SHA-256 of names, labels and sizes."""
        digest = hashlib.sha256()
        for row in zip(self.names, self.labels.tolist(), self.sizes.tolist(), strict=True):
            digest.update(repr(row).encode(errors="replace"))
        return digest.hexdigest()


@dataclass(frozen=True)
class SourceImages:
    """All that a tree has to be sharded, and what a user should know about it."""

    root: Path
    parts: Mapping[str, SourcePart]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def find_images(root: Path, *, labelled: bool = True, classes: tuple[str, ...] = ()) -> SourceImages:
    """List the images of a tree.

    ``train``, ``val`` and ``test`` below it are parts, else it is a part ``train``. A part has class folders,
    or a list ``meta/PART.txt`` as ImageNet has it, with a file and a label a line; without either, or where a
    part is called ``test`` and has no folders, it is unlabelled.

    Args:
        labelled: False: take all images below a part as unlabelled.
        classes: Their names, in the order of the labels, instead of those of the folders.

    Raises: DataError: listing all that is wrong.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder of images")
    found = part_folders(root)
    folders = found if any(map(has_image, found.values())) else {"train": root}
    parts, notes, named = {}, [], {}
    for name, folder in folders.items():
        dataset = _dataset(root, name, folder, labelled)
        report = check_dataset(dataset, _labels_listed(dataset), evaluated=name != "train")
        if fatal := [x.message for x in report.problems if x.fatal]:
            raise DataError("; ".join(f"{folder}: {x}" for x in fatal))
        notes += [f"{folder}: {x.message}" for x in report.problems]
        parts[name] = _part(folder, dataset)
        if getattr(dataset, "folder_to_idx", None):
            named[name] = tuple(dataset.folder_to_idx)
    return SourceImages(root, parts, _classes(parts, named, classes), tuple(notes))


def _dataset(root: Path, name: str, folder: Path, labelled: bool) -> CustomDataset:
    """Build the data set that reads a part from its files, without a pipeline."""
    options: dict[str, Any] = dict(data_root=str(root), data_prefix=str(folder.absolute()), lazy_init=True)
    listing = root / "meta" / f"{name}.txt"
    if labelled and listing.is_file() and folder != root:
        with listing.open(errors="replace") as file:
            labelled = file.readline().strip().rpartition(" ")[2].isdigit()
        options["ann_file"] = str(listing.absolute())
    else:
        labelled = labelled and any(map(has_image, subfolders(folder)))
    return CustomDataset(**options, with_label=labelled, serialize_data=False)


def _labels_listed(dataset: CustomDataset) -> int | None:
    """Return how many classes a list of files and labels has, which does not name them."""
    if not dataset.ann_file or not dataset.with_label:
        return None
    labels = [x.rpartition(" ")[2] for x in Path(dataset.ann_file).read_text(errors="replace").splitlines()]
    return 1 + max((int(x) for x in labels if x.isascii() and x.isdigit()), default=0)


def _part(folder: Path, dataset: CustomDataset) -> SourcePart:
    prefix = f"{dataset.img_prefix.rstrip('/')}/"
    paths = [x["img_path"] for x in dataset.data_list]
    labels = np.array([x.get("gt_label", UNLABELLED) for x in dataset.data_list], np.int64)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(_READERS) as pool:  # they wait for the file system
        sizes = [size for chunk in pool.map(lambda x: [*map(os.path.getsize, x)], chunks) for size in chunk]
    names = tuple(x.removeprefix(prefix) for x in paths)
    return SourcePart(folder, names, labels, np.array(sizes, np.int64))


def _classes(
    parts: Mapping[str, SourcePart], named: Mapping[str, tuple[str, ...]], given: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of the classes, which all parts must share.

    Raises: DataError: if parts have other classes, or names are too few.
    """
    (first, folders), *others = [*named.items()] or [("", ())]
    for name, these in others:
        if these != folders:
            raise DataError(
                f"{name} and {first} have other class folders, so labels would differ: "
                f"{shortened(sorted({*these} ^ {*folders}))} in one of them alone"
            )
    most = 1 + max((int(x.labels.max()) for x in parts.values()), default=UNLABELLED)
    if given and len(given) < max(most, len(folders)):
        raise DataError(f"--classes names {len(given)} classes, and there are {max(most, len(folders))}")
    if given or not _is_imagenet(parts.get("train"), most):
        return given or folders
    return tuple(IMAGENET_CATEGORIES)


def _is_imagenet(train: SourcePart | None, classes: int) -> bool:
    """Whether these are ImageNet's classes: 1,000, labelled in the order of their numbers in WordNet."""
    if train is None or classes != len(IMAGENET_CATEGORIES):
        return False
    wordnet: dict[int, str] = {}
    for name, label in zip(train.names, train.labels.tolist(), strict=True):
        found = _WORDNET.fullmatch(name.rpartition("/")[2])
        if found is None or wordnet.setdefault(label, found[1]) != found[1]:
            return False
    return [wordnet[x] for x in sorted(wordnet)] == sorted(wordnet.values())
