"""Data that a user has: samples of each part, classes, and the files that were passed over."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmvisionllama.datasets.image_files import EXTENSIONS, is_hidden, read_header
from mmvisionllama.suggestions import shortened

Task = Literal["cls", "seg", "det", "pretrain"]
# Names of folders and files that hold a part of the data -> the part.
PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class ImageObject:
    """An object of a detection: its class, box and mask.

    Attributes:
        box: x, y, width and height in pixels.
        mask: Polygons [x1, y1, x2, y2, ...], run lengths as COCO has them, or None.
        area: In pixels, where the annotations say so.
    """

    name: str
    box: tuple[float, float, float, float]
    mask: Any = None
    crowd: bool = False
    area: float | None = None

    @property
    def pixels(self) -> float:
        """Its area: as the annotations say, else that of its polygons, else that of its box."""
        if self.area is not None:
            return self.area
        if isinstance(self.mask, list):
            return sum(abs(_shoelace(x[0::2], x[1::2])) for x in self.mask)
        return self.box[2] * self.box[3]

    @property
    def corners(self) -> list[float]:
        """Its box as a polygon, clockwise from the upper left."""
        x, y, width, height = self.box
        return [x, y, x + width, y, x + width, y + height, x, y + height]

    @property
    def is_masked(self) -> bool:
        """Whether it has a mask that says more than its box."""
        if not isinstance(self.mask, list) or len(self.mask) != 1:
            return bool(self.mask)
        points, corners = ({*zip(x[0::2], x[1::2], strict=False)} for x in (self.mask[0], self.corners))
        return points != corners


@dataclass(frozen=True)
class Annotated:
    """The objects in an image of ``width`` x ``height`` pixels."""

    width: int
    height: int
    objects: tuple[ImageObject, ...]


@dataclass(frozen=True)
class Sample:
    """An image with its label.

    Attributes:
        label: A class name (cls), the file of a mask (seg), ``Annotated`` (det) or None (pretrain).
    """

    image: Path
    label: Any = None


@dataclass(frozen=True)
class FoundData:
    """Everything that a reader has found.

    Attributes:
        layout: In words, e.g. ``class folders``.
        root: The folder that all images lie below.
        parts: ``train``, and ``val`` and ``test`` where the data have them.
        classes: In the order of their labels.
        notes: What a user should know, e.g. what was passed over.
    """

    layout: str
    root: Path
    parts: Mapping[str, tuple[Sample, ...]]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """Say in lines what was found."""
        counts = ", ".join(f"{len(samples):,} for {part}" for part, samples in self.parts.items())
        lines = [f"{self.layout} in {self.root}: {counts}"]
        if self.classes:
            plural = "classes" if len(self.classes) > 1 else "class"
            lines.append(f"{len(self.classes)} {plural}: {shortened(self.classes)}")
        return [*lines, *self.notes]


@dataclass
class Walk:
    """Files below a folder, in the order of their names, and what was passed over."""

    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)

    def notes(self, known: Sequence[str] = ()) -> list[str]:
        """Say what was passed over; ``known`` are endings of files that were used otherwise."""
        lines = []
        if self.hidden:
            lines.append(f"ignored, hidden: {shortened(self.hidden)}")
        endings = Counter(x.suffix.lower() or x.name for x in self.others if x.suffix.lower() not in known)
        if endings:
            listed = ", ".join(f"{count:,} {ending}" for ending, count in sorted(endings.items()))
            lines.append(f"ignored, no images that can be read ({' '.join(EXTENSIONS)}): {listed}")
        return lines


def _shoelace(xs: Sequence[float], ys: Sequence[float]) -> float:
    return sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs))) / 2


def walk(folder: Path) -> Walk:
    """List the files below a folder; hidden ones are passed over and named."""
    found = Walk()
    for place, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            if is_hidden(name):
                found.hidden.append(str(Path(place, name).relative_to(folder)))
        folders[:] = sorted(x for x in folders if not is_hidden(x))
        for name in sorted(x for x in files if not is_hidden(x)):
            path = Path(place, name)
            (found.images if path.suffix.lower() in EXTENSIONS else found.others).append(path)
    return found


def has_image(folder: Path) -> bool:
    """Whether an image lies below a folder."""
    for _, folders, files in os.walk(folder):
        folders[:] = [x for x in folders if not is_hidden(x)]
        if any(Path(x).suffix.lower() in EXTENSIONS and not is_hidden(x) for x in files):
            return True
    return False


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder that are not hidden, by name."""
    return sorted(x for x in folder.iterdir() if x.is_dir() and not is_hidden(x.name))


def image_size(path: Path) -> tuple[int, int] | None:
    """Return width and height of an image as it is loaded; None if it cannot be read."""
    header = read_header(path)
    return None if header is None else header.loaded_size()


def part_folders(folder: Path) -> dict[str, Path]:
    """Return the folders in ``folder`` that hold a part of the data, e.g. ``{"train": .../training}``."""
    found = {PARTS[x.name.lower()]: x for x in subfolders(folder) if x.name.lower() in PARTS}
    return {part: found[part] for part in ("train", "val", "test") if part in found}
