"""A set of images in memory, for evaluations in tests."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.images import ImageSet


class ImageArray(ImageSet):
    """Images in memory, uint8 (N, img_h, img_w, channels)."""

    def __init__(self, name: str, images: NDArray, labels: NDArray | None = None) -> None:
        super().__init__(name, len(images), images.shape[1:], labels)
        if images.dtype != np.uint8:
            raise EvaluationError(f"{name}: images must be uint8, these are {images.dtype}")
        self._images = images

    def batches(self, size: int) -> Iterator[NDArray]:
        """Yield slices."""
        for start in range(0, len(self), size):
            yield self._images[start : start + size]
