"""Transforms of images and annotations that the hosts do not have."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Pad
from PIL import Image

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.datasets.coco_masks import has_area
from mmvisionllama.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CenterCropADM(BaseTransform):
    """Shrink an image to its shorter side, and cut out the middle (ADM).

    It is halved by averaging as often as it stays large enough, then resized bicubically.

    Args:
        crop_size: Side of the square.
    """

    @checked
    def __init__(self, crop_size: Positive) -> None:
        self.crop_size = crop_size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` (height, width, channels; uint8) and ``img_shape``."""
        img, side = Image.fromarray(results["img"]), self.crop_size
        while min(img.size) >= 2 * side:
            img = img.resize((img.width // 2, img.height // 2), Image.Resampling.BOX)
        scale = side / min(img.size)
        img = img.resize((round(img.width * scale), round(img.height * scale)), Image.Resampling.BICUBIC)
        left, top = (img.width - side) // 2, (img.height - side) // 2
        results["img"] = np.asarray(img.crop((left, top, left + side, top + side)))
        results["img_shape"] = results["img"].shape[:2]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(crop_size={self.crop_size})"


@TRANSFORMS.register_module()
class PadImage(Pad):
    """Pad an image before it is normalised, as mmcv's Pad, but keep ``img_shape`` that of the image.

    A detector clips its boxes to ``img_shape``, so it finds none in what is padded.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pad ``img``."""
        shape = results["img_shape"]
        return super().transform(results) | {"img_shape": shape}


@TRANSFORMS.register_module()
class MarkMissingMasks(BaseTransform):
    """Let the loader of annotations ignore objects without a mask, as it does those with an unusable one.

    mmdet's ends with a KeyError on them, and takes polygons that have no area for masks; it ignores an object
    whose list of polygons is empty.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Give an empty list of polygons to every object that has no mask, or a flat one."""
        for instance in results.get("instances", []):
            mask = instance.setdefault("mask", [])
            if isinstance(mask, list) and not any(map(has_area, mask)):
                instance["mask"] = []
        return results
