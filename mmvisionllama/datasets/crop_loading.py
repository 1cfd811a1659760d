"""Load a random crop of an image at its final size: large files are decoded at a fraction of theirs."""

from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch
from mmpretrain.datasets.transforms import RandomResizedCrop
from numpy.typing import NDArray
from torch.nn import functional as F

from mmvisionllama.arguments import AtLeast, Count, Positive, checked
from mmvisionllama.datasets.image_files import jpeg_header
from mmvisionllama.datasets.image_loading import LoadImageFromFile
from mmvisionllama.registry import TRANSFORMS

# libjpeg shrinks by these at no cost, and leaves out as much of the work.
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(LoadImageFromFile):
    """Load an image and crop it as mmpretrain's RandomResizedCrop does, by the same draws.

    The crop is resized with antialiasing by torch, which computes what Pillow does to within one of 255 in a
    quarter of its time. Where it is much larger than its final size, a JPEG is decoded at a half, quarter or
    eighth. The image that was loaded last is kept, so repeated augmentation decodes it once.

    Args:
        scale: Side of the square that comes out, or its height and width.
        crop_ratio_range: Bounds of the crop's share of the image's area.
        aspect_ratio_range: Bounds of its width over its height.
        interpolation: Of the resizing.
        reducing_gap: A file is decoded at a fraction if the crop stays this many times as large as what comes
            out; from 2 on the difference can't be seen. None for never.
        max_corrupt: As in ``LoadImageFromFile``.

    Raises:
        CorruptImageError: as ``LoadImageFromFile``.
    """

    @checked
    def __init__(
        self,
        scale: Positive | tuple[Positive, Positive],
        *,
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Literal["bilinear", "bicubic"] = "bicubic",
        reducing_gap: Annotated[float, AtLeast(1)] | None = 2.0,
        backend_args: dict | None = None,
        max_corrupt: Count = 0,
    ) -> None:
        super().__init__(backend_args=backend_args, max_corrupt=max_corrupt)
        self.crop = RandomResizedCrop(
            scale, crop_ratio_range, aspect_ratio_range, interpolation=interpolation
        )
        self.scale = tuple(self.crop.scale)
        self.interpolation = interpolation
        self.reducing_gap = reducing_gap
        self._last: tuple[bytes, int, NDArray] | None = None

    def _load(self, results: dict[str, Any], content: bytes) -> dict[str, Any]:
        header = jpeg_header(content) if self.reducing_gap else None
        if header is None or self._factor(size := header.loaded_size()[::-1]) == 1:
            return self._described(results, self._decoded(content, 1))
        top, left, height, width = self._box(size)
        factor = self._factor((height, width))
        image = self._decoded(content, factor)
        down, right = image.shape[0] / size[0], image.shape[1] / size[1]
        rows = slice(round(top * down), round((top + height) * down))
        columns = slice(round(left * right), round((left + width) * right))
        return self._resized(results, image[rows, columns], size)

    def _described(self, results: dict[str, Any], image: NDArray) -> dict[str, Any]:
        top, left, height, width = self._box(image.shape[:2])
        return self._resized(results, image[top : top + height, left : left + width], image.shape[:2])

    def _box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Draw top, left, height and width."""
        return self.crop.rand_crop_params(np.broadcast_to(np.uint8(0), size))

    def _factor(self, size: tuple[int, int]) -> int:
        """Return by how much a file may be reduced where a crop has this height and width."""
        gap = min(have / wanted for have, wanted in zip(size, self.scale, strict=True)) / self.reducing_gap
        return next((factor for factor in _REDUCED if factor <= gap), 1)

    def _decoded(self, content: bytes, factor: int) -> NDArray:
        if self._last is None or self._last[:2] != (content, factor):
            self._last = content, factor, self._decode_reduced(content, factor)
        return self._last[2]

    def _decode_reduced(self, content: bytes, factor: int) -> NDArray:
        if factor == 1:
            return self._decode(content)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), _REDUCED[factor])
        if image is None:
            raise ValueError("the file holds no image that can be decoded")
        return image

    def _resized(self, results: dict[str, Any], crop: NDArray, size: tuple[int, int]) -> dict[str, Any]:
        # A copy without gaps, whose channels torch sees to be the last in memory: it is much faster on such.
        image = torch.from_numpy(np.array(np.atleast_3d(crop)[None], order="C")).permute(0, 3, 1, 2)
        image = F.interpolate(image, self.scale, mode=self.interpolation, antialias=True)
        image = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
        results["img"] = image if crop.ndim == 3 else image[..., 0]
        results["img_shape"], results["ori_shape"] = image.shape[:2], size
        return results

    def __repr__(self) -> str:
        values = f"{self.crop}, reducing_gap={self.reducing_gap}, max_corrupt={self.max_corrupt}"
        return f"{type(self).__name__}({values})"
