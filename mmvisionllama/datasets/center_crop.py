"""The crop that generative models of ImageNet are trained on and compared over."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmvisionllama.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CenterCropADM(BaseTransform):
    """Shrink an image to its shorter side, and cut out the middle (ADM).

    It is halved by averaging as often as it stays large enough, then resized bicubically.

    Args:
        crop_size: Side of the square.
    """

    def __init__(self, crop_size: int) -> None:
        if crop_size < 1:
            raise ValueError(f"crop_size must be at least 1, got {crop_size}")
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
