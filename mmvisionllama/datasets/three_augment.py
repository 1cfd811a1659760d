"""The augmentation of DeiT III, composed of the hosts' transforms."""

from typing import Any

from mmcv.transforms import BaseTransform, RandomChoice, RandomGrayscale
from mmpretrain.datasets.transforms import ColorJitter, GaussianBlur, Solarize

from mmvisionllama.registry import TRANSFORMS

_BGR_LUMA = (0.114, 0.587, 0.299)


@TRANSFORMS.register_module()
class ThreeAugment(BaseTransform):
    """Turn an image grey, solarise it or blur it, one of the three at even odds, then jitter its colours.

    Cropping and flipping come before it as transforms of their own (DeiT III, Sec. 3.2 and Fig. 4).

    Args:
        color_jitter: Brightness, contrast and saturation change by a factor of up to 1 +- this.
        blur_radius: Bounds of the blur's radius in pixels.
        solarize_thr: Values from here on are inverted, of 0 to 255.
    """

    def __init__(
        self,
        color_jitter: float = 0.3,
        *,
        blur_radius: tuple[float, float] = (0.1, 2.0),
        solarize_thr: int = 128,
    ) -> None:
        super().__init__()
        blur = GaussianBlur(prob=1.0, magnitude_range=blur_radius, magnitude_level=10, magnitude_std="inf")
        gray = RandomGrayscale(prob=1.0, keep_channels=True, channel_weights=_BGR_LUMA)
        self.one_of = RandomChoice([[gray], [Solarize(thr=solarize_thr, prob=1.0)], [blur]])
        self.jitter = ColorJitter(color_jitter, color_jitter, color_jitter)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` (height, width, BGR; uint8)."""
        dtype = results["img"].dtype
        results = self.one_of(results)
        results["img"] = results["img"].astype(dtype)
        return self.jitter(results)
