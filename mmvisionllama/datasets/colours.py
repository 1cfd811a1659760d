"""Colour operations on images of bytes: lookup tables where a pixel's channel alone decides, else OpenCV.

Images are (H, W, 3) of uint8, BGR; none is changed in place. Definitions and rounding are those of mmcv's
functions, which follow Pillow's ``ImageOps`` and ``ImageEnhance``: a factor of 1 leaves an image as it is.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_VALUES = np.arange(256, dtype=np.float32)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13  # Pillow's ImageFilter.SMOOTH
# OpenCV rounds what Pillow and mmcv cut off; a little more than half a step lower, whole numbers stay.
_CUT_OFF = -0.499


def inverted(image: NDArray) -> NDArray:
    """Return the negative."""
    return cv2.bitwise_not(image)


def posterized(image: NDArray, bits: int) -> NDArray:
    """Keep the upper bits of each value, of 0 to 8."""
    return np.bitwise_and(image, np.uint8(0xFF << 8 - bits & 0xFF))


def solarized(image: NDArray, threshold: float) -> NDArray:
    """Invert values from the threshold on."""
    return _looked_up(image, np.where(threshold <= _VALUES, 255 - _VALUES, _VALUES))


def solarized_by_adding(image: NDArray, added: float, threshold: float) -> NDArray:
    """Add to values below the threshold, up to 255."""
    return _looked_up(image, np.where(threshold <= _VALUES, _VALUES, np.minimum(_VALUES + added, 255)))


def auto_contrasted(image: NDArray) -> NDArray:
    """Stretch each channel to 0 to 255."""
    table = np.empty((256, 3))
    for channel, counts in enumerate(_histograms(image)):
        present = np.flatnonzero(counts)
        low, high = int(present[0]), int(present[-1])
        scale = 255.0 / (high - low) if low < high else 1.0
        table[:, channel] = _VALUES.astype(float) * scale - (low * scale if low < high else 0.0)
    return _looked_up(image, table.clip(0, 255))


def equalized(image: NDArray) -> NDArray:
    """Give the values of each channel an even histogram."""
    table = np.empty((256, 3))
    for channel, counts in enumerate(_histograms(image)):
        step = (counts.sum() - counts[counts > 0][-1]) // 255
        sums = np.concatenate([[0], np.cumsum(counts)[:-1]])
        table[:, channel] = np.minimum((sums + step // 2) // step, 255) if step else _VALUES
        table[0, channel] *= step == 0  # the first sum is shifted in, not rounded
    return _looked_up(image, table)


def brightened(image: NDArray, factor: float) -> NDArray:
    """Blend with black."""
    return _looked_up(image, _blended(0, factor))


def contrasted(image: NDArray, factor: float) -> NDArray:
    """Blend with the mean grey."""
    mean = round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))[0])
    return _looked_up(image, _blended(mean, factor))


def saturated(image: NDArray, factor: float) -> NDArray:
    """Blend with the grey image."""
    return cv2.addWeighted(image, factor, greyed(image), 1 - factor, 0)


def greyed(image: NDArray) -> NDArray:
    """Return the luma in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def sharpened(image: NDArray, factor: float) -> NDArray:
    """Blend with the smoothed image."""
    return cv2.addWeighted(image, factor, cv2.filter2D(image, -1, _SMOOTH), 1 - factor, _CUT_OFF)


def blurred(image: NDArray, radius: float) -> NDArray:
    """Blur by Pillow's Gaussian: three box filters in a row, of this deviation in pixels together."""
    # Its box has a whole part, and a part of a pixel at either end so that the deviation comes out.
    variance = radius**2 / 3
    whole = int((np.sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    box = np.array([part, *[1.0] * (2 * whole + 1), part])
    kernel = np.convolve(np.convolve(box, box), box)
    kernel /= kernel.sum()
    return cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)


def _blended(other: float, factor: float) -> NDArray:
    # By OpenCV, so that it is the same to the last bit that mmcv's functions cut off.
    return cv2.addWeighted(_VALUES, factor, np.full_like(_VALUES, other), 1 - factor, 0).clip(0, 255)


def _histograms(image: NDArray) -> NDArray:
    """Return the counts of the values of each channel, (3, 256)."""
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]) for channel in range(3)]
    return np.concatenate(counts, axis=1).T.astype(np.int64)


def _looked_up(image: NDArray, table: NDArray) -> NDArray:
    """Map values by a table for all channels, (256,), or for each, (256, 3); fractions are cut off."""
    return cv2.LUT(image, table.astype(np.uint8).reshape(1, 256, -1))
