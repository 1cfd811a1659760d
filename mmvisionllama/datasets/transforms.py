"""Transforms of images and annotations that the hosts do not have, or only in slower forms."""

from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, Pad
from mmpretrain.datasets.transforms import RandomErasing as HostRandomErasing
from PIL import Image

from mmvisionllama.arguments import Count, NotNegative, Positive, Share, checked
from mmvisionllama.datasets import colours
from mmvisionllama.datasets.coco_masks import has_area
from mmvisionllama.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ThreeAugment(BaseTransform):
    """Turn an image grey, solarise it or blur it, one of the three at even odds, then jitter its colours.

    Cropping and flipping come before it as transforms of their own (DeiT III, Sec. 3.2 and Fig. 4).

    Args:
        color_jitter: Brightness, contrast and saturation change by a factor of up to 1 +- this.
        blur_radius: Bounds of the blur's radius in pixels.
        solarize_thr: Values from here on are inverted, of 0 to 255.
    """

    @checked
    def __init__(
        self,
        color_jitter: NotNegative = 0.3,
        *,
        blur_radius: tuple[NotNegative, NotNegative] = (0.1, 2.0),
        solarize_thr: Count = 128,
    ) -> None:
        self.factors = max(0.0, 1 - color_jitter), 1 + color_jitter
        self.blur_radius = blur_radius
        self.solarize_thr = solarize_thr

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` (height, width, BGR; uint8)."""
        image, chosen = results["img"], np.random.randint(3)
        if chosen == 0:
            image = colours.greyed(image)
        elif chosen == 1:
            image = colours.solarized(image, self.solarize_thr)
        else:
            image = colours.blurred(image, np.random.uniform(*self.blur_radius))
        jitters = (colours.brightened, colours.contrasted, colours.saturated)
        for index in np.random.permutation(len(jitters)):
            image = jitters[index](image, np.random.uniform(*self.factors))
        results["img"] = image
        return results

    def __repr__(self) -> str:
        values = f"factors={self.factors}, blur_radius={self.blur_radius}, solarize_thr={self.solarize_thr}"
        return f"{type(self).__name__}({values})"


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirror an image that has no boxes and masks: mmcv's RandomFlip at a third of its time.

    Args:
        prob: Chance that left and right are exchanged.
    """

    @checked
    def __init__(self, prob: Share) -> None:
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` (height, width, channels; uint8), and say so in ``flip`` and ``flip_direction``."""
        results["flip"] = bool(np.random.rand() < self.prob)
        results["flip_direction"] = "horizontal" if results["flip"] else None
        if results["flip"]:
            results["img"] = cv2.flip(results["img"], 1)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob})"


@TRANSFORMS.register_module()
class RandomErasing(HostRandomErasing):
    """mmpretrain's RandomErasing with noise from torch's generator, in a fifth of the time.

    Chance, place and size are the host's, from the same draws; the noise has the same distribution: normal
    where ``fill_std`` is given, cut off to 0 to 255.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` (height, width, BGR; uint8)."""
        if self.mode != "rand" or self.fill_std is None:
            return super().transform(results)
        if self.random_disable():
            return results
        image = results["img"]
        top, left, height, width = self.random_patch(*image.shape[:2])
        noise = torch.randn(height, width, 3).numpy()
        noise *= np.float32(self.fill_std)
        noise += np.float32(self.fill_color)
        image[top : top + height, left : left + width] = noise.clip(0, 255, out=noise)
        return results


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
