"""3-Augment, flips and erasing on images of bytes, faster than the hosts' own."""

from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.datasets.transforms import RandomErasing as HostRandomErasing

from mmvisionllama.arguments import Count, NotNegative, Share, checked
from mmvisionllama.datasets import colours
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
