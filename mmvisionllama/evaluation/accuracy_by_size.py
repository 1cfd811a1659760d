"""Accuracy of a classifier at each size of its images."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmvisionllama.evaluation.resolution import Size, label
from mmvisionllama.registry import METRICS


@METRICS.register_module()
class AccuracyBySize(BaseMetric):
    """Count right answers, in percent, of all images and by their size in the model: one evaluation of data
    that show images at several sizes, such as a ``ConcatDataset`` of pipelines.

    ``accuracy/top1`` is of all images, ``accuracy/top1_32`` and ``accuracy/top1_32x48`` of those of so many
    pixels, height first.
    """

    default_prefix = "accuracy"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note size and answer of every image."""
        for sample in data_samples:
            right = bool((sample["pred_score"].argmax() == sample["gt_label"]).all())
            self.results.append((tuple(sample["img_shape"][:2]), right))

    def compute_metrics(self, results: list[tuple[Size, bool]]) -> dict[str, float]:
        """Give the share of right answers of all and of every size, the smallest first."""
        by_size: dict[Size, list[bool]] = defaultdict(list)
        for size, right in results:
            by_size[size].append(right)
        shares = {f"top1_{label(size)}": _percent(by_size[size]) for size in sorted(by_size)}
        return {"top1": _percent([right for _, right in results]), **shares}


def _percent(answers: Sequence[bool]) -> float:
    return 100 * sum(answers) / len(answers)
