"""Shear and translate images of bytes: each row is moved along itself, at a third of the time of a warp."""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Fill = tuple[float, ...]  # of the places that the image leaves, B, G and R
Direction = Literal["horizontal", "vertical"]
Interpolation = Literal["bilinear", "bicubic"]
_STEPS, _FINE_STEPS = 32, 1024  # into which OpenCV divides a pixel in warps
_SHARPNESS = -0.75  # of OpenCV's cubic kernel


def _linear(fraction_H: NDArray) -> NDArray:
    return np.stack([1 - fraction_H, fraction_H], axis=1)


def _cubic(fraction_H: NDArray) -> NDArray:
    """Weights (H, 4) of the pixels at -1, 0, 1 and 2 for a place between 0 and 1."""
    x, a = fraction_H, _SHARPNESS
    outer = a * ((((x + 1) - 5) * (x + 1) + 8) * (x + 1) - 4)
    left, right = ((a + 2) * y**3 - (a + 3) * y**2 + 1 for y in (x, 1 - x))
    return np.stack([outer, left, right, 1 - outer - left - right], axis=1)


# Interpolation -> weights, and how far to the left the first pixel is.
_KERNELS: dict[str, tuple[Callable[[NDArray], NDArray], int]] = {
    "bilinear": (_linear, 0),
    "bicubic": (_cubic, 1),
}
INTERPOLATIONS = tuple(_KERNELS)


def sheared(
    image: NDArray, slope: float, direction: Direction, *, fill: Fill, interpolation: Interpolation
) -> NDArray:
    """Move each row, or column, of an image (H, W, 3) by ``slope`` times its index, as ``mmcv.imshear``."""
    offset_H = np.float32(slope) * np.arange(_rows(image, direction))
    return _moved(image, offset_H, direction, fill, interpolation)


def translated(
    image: NDArray, offset: float, direction: Direction, *, fill: Fill, interpolation: Interpolation
) -> NDArray:
    """Move an image (H, W, 3) by pixels to the right, or down, as ``mmcv.imtranslate``."""
    return _moved(image, np.full(_rows(image, direction), offset), direction, fill, interpolation)


def _rows(image: NDArray, direction: Direction) -> int:
    """Return the number of what is moved along ``direction``."""
    return image.shape[direction == "vertical"]


def _moved(
    image: NDArray, offset_H: NDArray, direction: Direction, fill: Fill, interpolation: Interpolation
) -> NDArray:
    if direction == "vertical":
        return cv2.transpose(_moved(cv2.transpose(image), offset_H, "horizontal", fill, interpolation))
    height, width, channels = image.shape
    weights, before = _KERNELS[interpolation]
    # Where the first pixel comes from, in steps, as OpenCV rounds it: from float32 to 1/1024, then to 1/32.
    fine_H = np.rint(offset_H.astype(np.float32).astype(float) * -_FINE_STEPS).astype(int)
    place_H = (fine_H + _FINE_STEPS // _STEPS // 2) // (_FINE_STEPS // _STEPS)
    whole_H, weight_HK = place_H // _STEPS, weights(place_H % _STEPS / _STEPS).astype(np.float32)
    # Beyond its width, a row shows nothing but the fill.
    whole_H = whole_H.clip(-width - 2, width + 2)
    margin = int(abs(whole_H).max()) + 2
    padded = cv2.copyMakeBorder(image, 0, 0, margin, margin, cv2.BORDER_CONSTANT, value=fill)
    first_H = np.arange(height) * padded.shape[1] + margin + whole_H - before
    taps = first_H[:, None] + np.arange(weight_HK.shape[1])
    pixels_HKW = sliding_window_view(padded.reshape(-1), width * channels)[taps * channels]
    moved = np.matmul(weight_HK[:, None], pixels_HKW.astype(np.float32))
    return cv2.add(moved.reshape(height, -1), 0, dtype=cv2.CV_8U).reshape(image.shape)
