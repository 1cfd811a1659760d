"""From a batch of images, or of cached latents, to what a generator takes."""

from typing import Any

import torch
from mmpretrain.models import ClsDataPreprocessor

from mmvisionllama.registry import MODELS


@MODELS.register_module()
class GenerationDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor, which leaves latents of a cache (floating point) as they are.

    Trainings read latents where validations compare with images.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """See mmpretrain for images; of latents (2, C, H, W) make a float32 batch."""
        if not data["inputs"][0].is_floating_point():
            return super().forward(data, training)
        data = self.cast_data(data)
        return {**data, "inputs": torch.stack(tuple(data["inputs"])).float()}
