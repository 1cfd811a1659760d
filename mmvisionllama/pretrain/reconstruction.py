"""The metric of a masked pre-training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmvisionllama.registry import METRICS


@METRICS.register_module()
class ReconstructionLoss(BaseMetric):
    """Mean loss on the hidden patches of held-out images: ``reconstruction/loss``, smaller is better."""

    default_prefix = "reconstruction"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note the loss of every image."""
        self.results += [sample["loss"] for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Average over all images."""
        return {"loss": float(np.mean(results))}
