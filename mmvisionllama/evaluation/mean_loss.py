"""Mean loss of held-out images: the validation metric of masked pre-training and of generators."""

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmvisionllama.registry import METRICS


class MeanLoss(BaseMetric):
    """Average the ``loss`` that the model gives each image: ``<prefix>/loss``, smaller is better."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note the loss of every image."""
        self.results += [sample["loss"] for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Average over all images."""
        return {"loss": sum(results) / len(results)}


@METRICS.register_module()
class ReconstructionLoss(MeanLoss):
    """The loss on the hidden patches (:class:`mmvisionllama.hosts.mae.MAE`): ``reconstruction/loss``."""

    default_prefix = "reconstruction"


@METRICS.register_module()
class DenoisingLoss(MeanLoss):
    """The loss of a generator, each image always under the same noise: ``denoising/loss``."""

    default_prefix = "denoising"
