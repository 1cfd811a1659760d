"""Digits and photographs from installed packages, split into training and validation."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("background", *"0123456789")
PALETTE = [
    [70, 70, 70],
    [230, 25, 75],
    [245, 130, 48],
    [255, 225, 25],
    [60, 180, 75],
    [70, 240, 240],
    [0, 130, 200],
    [145, 30, 180],
    [240, 50, 230],
    [250, 190, 212],
    [170, 110, 40],
]

SPLITS = ("train", "val")

# Photographs alone: no drawings, no printed or written characters, one picture of the stereo pair.
PHOTOGRAPHS = {
    "train": (
        "skimage/data/astronaut.png",
        "skimage/data/brick.png",
        "skimage/data/camera.png",
        "skimage/data/cell.png",
        "skimage/data/coins.png",
        "skimage/data/grass.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/ihc.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/retina.jpg",
        "skimage/data/rocket.jpg",
        "sklearn/datasets/images/china.jpg",
    ),
    "val": (
        "skimage/data/chelsea.png",
        "skimage/data/coffee.png",
        "skimage/data/gravel.png",
        "skimage/data/moon.png",
        "sklearn/datasets/images/flower.jpg",
    ),
}


@dataclass(frozen=True)
class Sources:
    """What the scenes of one split may show.

    Attributes:
        digits: Per class 0 to 9 an (n, 8, 8) float32 array of ink from 0 to 1.
        photographs: (H, W, 3) uint8 RGB arrays.
    """

    digits: tuple[np.ndarray, ...]
    photographs: tuple[np.ndarray, ...]


def read_digits() -> tuple[NDArray, NDArray]:
    """Read what scikit-learn's ``load_digits`` gives: (n, 8, 8) of ink from 0 to 16, and n labels.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed.
    """
    rows = np.loadtxt(_installed("sklearn") / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)


def digit_indices(split: str) -> list[int]:
    """List the samples of ``read_digits`` that belong to a split: every fifth of each class validates."""
    _, labels = read_digits()
    chosen = []
    for digit in range(10):
        places = np.flatnonzero(labels == digit)
        validates = np.arange(len(places)) % 5 == 4
        chosen.extend(places[validates if split == "val" else ~validates].tolist())
    return sorted(chosen)


def load_sources(split: str, size: int) -> Sources:
    """Read the digits and photographs of a split.

    Args:
        split: ``'train'`` or ``'val'``.
        size: Side of the scenes in pixels; photographs much larger than that are reduced.

    Raises:
        FileNotFoundError: if an installed package lacks one of the photographs.
    """
    images, labels = read_digits()
    indices = digit_indices(split)
    ink, labels = images[indices].astype(np.float32), labels[indices]
    ink /= ink.max(axis=(1, 2), keepdims=True)
    digits = tuple(ink[labels == digit] for digit in range(10))
    return Sources(digits, tuple(_read_photograph(name, size) for name in PHOTOGRAPHS[split]))


def _read_photograph(name: str, size: int) -> np.ndarray:
    package, _, inside = name.partition("/")
    path = _installed(package) / inside
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"{path} is missing or broken: DigitScenes needs the {package} pinned here")
    # Four times the size: crops stay at least `size` wide, and resizing them for each scene is cheap.
    factor = 4 * size / min(image.shape[:2])
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _installed(package: str) -> Path:
    """Find a package without importing it: scikit-learn brings scipy and pandas, longer than torch takes."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(found.origin).parent
