"""Compose one scene: digits laid over each other on a crop of a photograph."""

import colorsys
import math
from dataclasses import dataclass

import cv2
import numpy as np

from mmvisionllama.datasets.digitscenes.sources import Sources

_ATTEMPTS = 20  # places tried for a digit before the one that hides least of the others is taken
_LEAST_DIGIT = 10  # pixels; smaller digits cannot be read


@dataclass(frozen=True)
class Style:
    """Ranges from which a scene is drawn; lengths are shares of the image side.

    Attributes:
        size: Default image side in pixels.
        counts: Numbers of digits per scene, in turn.
        scale: Side of the square that a digit fills.
        light: Brightness left to the photograph.
        saturation, value: Of a digit's tint.
        turn: Largest rotation to either side, in degrees.
        visible: Share of every digit's ink that later ones should leave to see.
    """

    size: int
    counts: tuple[int, ...]
    scale: tuple[float, float]
    light: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]
    turn: float
    visible: float

    @property
    def least_size(self) -> int:
        """The smallest image side, in pixels, at which the smallest digit can still be read."""
        return math.ceil(_LEAST_DIGIT / self.scale[0])


PLAIN = Style(64, (1, 1, 2), (0.5, 0.75), (0.1, 0.4), (0.0, 0.4), (0.8, 1.0), 6, 0.8)
HARD = Style(96, (4, 5, 6, 7), (0.17, 0.33), (0.4, 0.9), (0.0, 1.0), (0.45, 1.0), 20, 0.5)


@dataclass(frozen=True)
class Scene:
    """A composed image and what is seen in it.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        digits: Classes 0 to 9, from the lowest to the topmost.
        owner: (size, size) uint8, 0 for the photograph, k for the k-th of ``digits`` where it is seen.
        border: (size, size) bool, pixels in which ink and what lies below mix about equally.
    """

    image: np.ndarray
    digits: tuple[int, ...]
    owner: np.ndarray
    border: np.ndarray


def compose(
    rng: np.random.Generator, digits: tuple[int, ...], sources: Sources, style: Style, size: int
) -> Scene:
    """Compose a scene of ``size`` x ``size`` pixels that shows a digit for each class in ``digits``."""
    image = _background(rng, sources.photographs, style, size)
    owner = np.zeros((size, size), np.uint8)
    border = np.zeros((size, size), bool)
    inked: list[int] = []
    for number, digit in enumerate(digits, start=1):
        alpha = _place(rng, sources.digits[digit], owner, inked, style, size)
        hue, saturation, value = rng.uniform(), rng.uniform(*style.saturation), rng.uniform(*style.value)
        tint = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)
        image += alpha[..., None] * (tint - image)
        owner[alpha >= 0.5] = number
        border = np.where(alpha > 0.25, alpha < 0.75, border)
        inked.append(np.count_nonzero(alpha >= 0.5))
    return Scene(np.rint(image).astype(np.uint8), digits, owner, border)


def _background(
    rng: np.random.Generator, photographs: tuple[np.ndarray, ...], style: Style, size: int
) -> np.ndarray:
    photograph = photographs[rng.integers(len(photographs))]
    height, width = photograph.shape[:2]
    side = round(rng.uniform(0.3, 1.0) * min(height, width))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = photograph[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop.astype(np.float32) * np.float32(rng.uniform(*style.light))


def _place(
    rng: np.random.Generator, pool: np.ndarray, owner: np.ndarray, inked: list[int], style: Style, size: int
) -> np.ndarray:
    """Return the (size, size) opacity of a digit from ``pool`` where it hides little of the others."""
    ink = pool[rng.integers(len(pool))]
    best, best_visible = None, -1.0
    for _ in range(_ATTEMPTS):
        alpha = _opacity(rng, ink, style, size)
        left = np.bincount(owner[alpha < 0.5], minlength=len(inked) + 1)[1:]
        visible = min((x / full for x, full in zip(left, inked, strict=True)), default=1.0)
        if visible > best_visible:
            best, best_visible = alpha, visible
        if visible >= style.visible:
            break
    return best


def _opacity(rng: np.random.Generator, ink: np.ndarray, style: Style, size: int) -> np.ndarray:
    """Turn, enlarge and shift an (8, 8) digit; its square stays inside the image but for its corners."""
    side = rng.uniform(*style.scale) * size
    turn = math.radians(rng.uniform(-style.turn, style.turn))
    centre = rng.uniform(side / 2, size - side / 2, 2) - 0.5
    linear = side / 8 * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    affine = np.column_stack([linear, centre - linear @ np.array([3.5, 3.5])])
    grey = cv2.warpAffine(ink, affine, (size, size), flags=cv2.INTER_CUBIC)
    # The 8 x 8 scans are soft: harden their edge to one or two pixels' width.
    return np.clip((grey - 0.25) / 0.4, 0, 1)
