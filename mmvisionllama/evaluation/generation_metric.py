"""Validation metric of generators: FID and its kin during a training."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from mmvisionllama.arguments import Component, checked
from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.features import FeatureExtractor, Features, as_uint8
from mmvisionllama.evaluation.scores import Target, choose_metrics, remarks, score
from mmvisionllama.registry import METRICS, build_component


@METRICS.register_module()
class GenerationMetric(BaseMetric):
    """Hold the images that a generator draws for the labels of a data set against those of the data set.

    It expects samples with ``pred_img``, uint8 or float in [0, 1], RGB or grey (channels, img_h, img_w), and
    ``gt_label``, as :class:`mmvisionllama.generation.ClassConditionalGenerator` predicts them. Metrics are
    ``generation/fid`` and so on; precision, recall and class accuracy are in per cent. Values over few images
    are for comparing steps of one training: FID grows as images get fewer.

    Args:
        features: :class:`ClassifierFeatures` or :class:`InceptionFeatures`, e.g.
            ``dict(type="mmvisionllama.ClassifierFeatures", config=..., checkpoint=...)``.
        scores: Names of the metrics; None: all that the features are good for. (To mmengine, a dict with
            ``metrics`` is a whole evaluator.)
        to_rgb: Whether the data set's images are BGR: what the model's preprocessor is told as well.
        kwargs: See mmengine's ``BaseMetric``.

    Raises:
        EvaluationError: if a metric is unknown or the features are no good for it; later, if images or labels
            are not as expected.
    """

    default_prefix = "generation"

    @checked
    def __init__(
        self,
        features: Component,
        *,
        scores: Sequence[str] | None = None,
        to_rgb: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.extractor: FeatureExtractor = build_component(features)
        self.scores = choose_metrics(scores, self.extractor)
        self.to_rgb = to_rgb
        self._told: set[str] = set()

    def process(self, data_batch: dict[str, Any], data_samples: Sequence[dict]) -> None:
        """Look at the generated images of a batch and at the real ones."""
        if any("pred_img" not in x for x in data_samples):
            raise EvaluationError("GenerationMetric needs 'pred_img': the model generates no images")
        generated = as_uint8(torch.stack([x["pred_img"] for x in data_samples]), "pred_img")
        real = _real(data_batch["inputs"]).to(generated.device)
        if self.to_rgb and real.shape[1] == 3:
            real = real.flip(1)
        if real.shape != generated.shape:
            raise EvaluationError(
                f"generated images are {tuple(generated.shape[1:])}, real ones {tuple(real.shape[1:])}"
            )
        self.extractor.to(generated.device)
        rows = (self.extractor(img).rows() for img in (generated, real))
        for this, other, sample in zip(*rows, data_samples, strict=True):
            self.results.append((this, other, int(sample["gt_label"])))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Compute them over the images of all processes."""
        generated, real, labels = zip(*results, strict=True)
        generated, target = Features.from_rows(generated), Target(Features.from_rows(real))
        label_N = torch.tensor(labels)
        for remark in remarks(self.scores, generated, target, label_N):
            if remark not in self._told:
                print_log(remark, "current", logging.WARNING)
                self._told.add(remark)
        return score(self.scores, generated, target, label_N, self.extractor.device)


def _real(inputs: Tensor | Sequence[Tensor]) -> Tensor:
    """Stack the images of a batch."""
    shapes = {tuple(x.shape) for x in inputs}
    if len(shapes) > 1:
        raise EvaluationError(f"the real images of a batch must be of one size, they are {sorted(shapes)}")
    return as_uint8(torch.stack(list(inputs)), "the data set's images")
