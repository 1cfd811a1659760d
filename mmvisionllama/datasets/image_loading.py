"""Load images from files; name corrupt ones, and skip a limited number in training."""

import logging
import zlib
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmvisionllama.arguments import Count, checked
from mmvisionllama.datasets.image_files import ended
from mmvisionllama.registry import TRANSFORMS

# What Pillow, OpenCV and the file systems raise on files that are missing, cut off or no images.
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, zlib.error, cv2.error)


class CorruptImageError(OSError):
    """Images cannot be read: more than the training may skip, or one that an evaluation needs."""


@TRANSFORMS.register_module()
class LoadImageFromFile(MMCVLoadImageFromFile):
    """Load an image; name a corrupt one, and skip it where the config allows that.

    A skipped image is None, for which the data set draws another one. A file whose picture is
    cut off counts as corrupt, although decoders fill its rest with grey; what follows the picture, and a
    missing end marker, do not matter. An image that is loaded already, as mmpretrain's inferencers give it,
    is taken as it is.

    Args:
        max_corrupt: Corrupt files that each loading process skips before it gives up. Only a training may
            skip any: the metric of an evaluation would be that of other images. All else as in mmcv.

    Raises:
        CorruptImageError: names every corrupt file and what is wrong with it.
    """

    @checked
    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = "color",
        imdecode_backend: str = "cv2",
        *,
        backend_args: dict | None = None,
        max_corrupt: Count = 0,
    ) -> None:
        super().__init__(to_float32, color_type, imdecode_backend, backend_args=backend_args)
        self.max_corrupt = max_corrupt
        self._corrupt: dict[str, str] = {}

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Add ``img``, ``img_shape`` and ``ori_shape`` (height, width) to ``results``, or return None.

        Args:
            results: ``img_path``, and ``img_bytes`` where the file is in memory; or ``img``, its pixels.
        """
        if "img" in results:
            return self._described(results, results["img"])
        path, content = results["img_path"], results.get("img_bytes")
        try:
            content = fileio.get(path, backend_args=self.backend_args) if content is None else content
            return self._load(results, ended(content))
        except _UNREADABLE as error:
            self._skip(path, error)
            return None

    def _load(self, results: dict[str, Any], content: bytes) -> dict[str, Any]:
        return self._described(results, self._decode(content))

    def _described(self, results: dict[str, Any], image: NDArray) -> dict[str, Any]:
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

    def _decode(self, content: bytes) -> NDArray:
        image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise ValueError("the file holds no image that can be decoded")
        return image

    def _skip(self, path: str, error: Exception) -> None:
        known = path in self._corrupt
        self._corrupt[path] = f"{type(error).__name__}: {error}"
        if len(self._corrupt) > self.max_corrupt:
            files = "".join(f"\n  {name}: {reason}" for name, reason in self._corrupt.items())
            raise CorruptImageError(
                f"{len(self._corrupt)} corrupt images, max_corrupt={self.max_corrupt} allows no more:{files}"
            ) from error
        if not known:
            count = f"{len(self._corrupt)} of at most {self.max_corrupt}"
            message = f"Skipped a corrupt image ({count}): {path}: {self._corrupt[path]}"
            print_log(message, "current", logging.WARNING)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, max_corrupt={self.max_corrupt})"


@TRANSFORMS.register_module()
class InferencerLoader(LoadImageFromFile):
    """What mmseg's inferencer puts in the place of the loader: it gives the path or the pixels alone."""

    def transform(self, results: str | NDArray | dict[str, Any]) -> dict[str, Any] | None:
        """Load an image; see ``LoadImageFromFile``."""
        if isinstance(results, str):
            results = {"img_path": results}
        elif isinstance(results, np.ndarray):
            results = {"img": results}
        return super().transform(results)


@TRANSFORMS.register_module()
class LoadImageFromNDArray(LoadImageFromFile):
    """What mmseg's ``inference_model`` puts in the place of the loader where it is given pixels."""
