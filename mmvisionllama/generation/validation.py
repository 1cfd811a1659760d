"""The metric that a training of a generator is watched by."""

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmvisionllama.registry import METRICS


@METRICS.register_module()
class DenoisingLoss(BaseMetric):
    """Mean loss of held-out images, always under the same noise: ``denoising/loss``, smaller is better."""

    default_prefix = "denoising"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note the loss of every image."""
        self.results += [sample["loss"] for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Average over all images."""
        return {"loss": sum(results) / len(results)}
