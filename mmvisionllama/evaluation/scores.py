"""Compute FID, sFID, Inception Score, precision, recall and class accuracy from features."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.features import FeatureExtractor, Features
from mmvisionllama.suggestions import refusal

# Those of ADM's evaluator, which the paper's tables are made with.
NEIGHBOURS = 3
SPLIT_SIZE = 5000

_FRECHET = {"fid": "pooled_ND", "sfid": "spatial_NS"}
METRICS = (*_FRECHET, "inception_score", "precision", "recall", "class_accuracy")


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, float64, and of how many images, if that is known."""

    mean_D: NDArray
    cov_DD: NDArray
    count: int | None = None

    @classmethod
    def of(cls, feature_ND: Tensor) -> "Moments":
        """Estimate them; float64, because the mean of 50,000 float32 is not exact."""
        from torch_fidelity.metric_fid import fid_features_to_statistics

        if len(feature_ND) < 2:
            raise EvaluationError(f"a covariance needs at least 2 images, got {len(feature_ND)}")
        found = fid_features_to_statistics(feature_ND.double())
        return cls(found["mu"], found["sigma"], len(feature_ND))


@dataclass(frozen=True)
class Target:
    """What generated images are held against.

    Attributes:
        features: Of real images.
        moments: Known beforehand, by the name of the metric that needs them; they go before the features'.
    """

    features: Features | None = None
    moments: Mapping[str, Moments] = field(default_factory=dict)

    def moments_for(self, metric: str) -> Moments:
        """Give the moments for ``fid`` or ``sfid``."""
        return self.moments.get(metric) or Moments.of(getattr(self.features, _FRECHET[metric]))


def choose_metrics(names: Sequence[str] | None, extractor: FeatureExtractor) -> tuple[str, ...]:
    """Return the metrics asked for, None: all that the extractor is good for.

    Raises:
        EvaluationError: if one is unknown, or the extractor is no good for it.
    """
    if names is None:
        return extractor.metrics
    if problem := refusal("metrics", names, METRICS):
        raise EvaluationError(problem)
    if unfit := [name for name in names if name not in extractor.metrics]:
        raise EvaluationError(
            f"{extractor.title} gives no {', '.join(unfit)}; it gives {', '.join(extractor.metrics)}"
        )
    return tuple(dict.fromkeys(names))


def frechet_distance(one: Moments, other: Moments) -> float:
    """Distance of two normal distributions (Heusel et al. 2017, Eq. 6): FID, and sFID on spatial features."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    pair = [dict(mu=x.mean_D, sigma=x.cov_DD) for x in (one, other)]
    return fid_statistics_to_metric(*pair, verbose=False)[KEY_METRIC_FID]


def inception_score(logit_NK: Tensor, split_size: int = SPLIT_SIZE) -> float:
    """Exponential of the mean divergence between an image's classes and those of its split, mean over splits.

    Splits are of equal size, ``split_size`` at most, in the order of the images. Where ``split_size`` divides
    the number of images this is what ADM's evaluator computes.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    splits = math.ceil(len(logit_NK) / split_size)
    return isc_features_to_metric(logit_NK, splits, shuffle=False)[KEY_METRIC_ISC_MEAN]


def precision_recall(
    generated_ND: Tensor, real_ND: Tensor, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Share of generated images near a real one, and of real images near a generated one, in [0, 1].

    Near: no further than the other's own neighbour number ``neighbours`` (Kynkäänniemi et al. 2019, Eq. 1).
    """
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    if (least := min(len(generated_ND), len(real_ND))) <= neighbours:
        raise EvaluationError(f"precision and recall need more than {neighbours} images, got {least}")
    options = dict(prc_neighborhood=neighbours, prc_batch_size=1000, save_cpu_ram=True, verbose=False)
    found = prc_features_to_metric(generated_ND, real_ND, **options)
    return found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]


def check_labels(label_N: Tensor, num_classes: int) -> None:
    """Require that a classifier knows the labels, else raise an EvaluationError."""
    least, most = label_N.min().item(), label_N.max().item()
    if least < 0 or most >= num_classes:
        raise EvaluationError(
            f"class_accuracy: there is a label {least if least < 0 else most}, the classifier knows "
            f"0 .. {num_classes - 1}"
        )


def class_accuracy(logit_NK: Tensor, label_N: Tensor) -> float:
    """Share of images whose most probable class is their label, in [0, 1].

    Raises:
        EvaluationError: if a label is none of the classes.
    """
    check_labels(label_N, logit_NK.shape[1])
    return (logit_NK.argmax(dim=1) == label_N).double().mean().item()


def score(
    metrics: Collection[str],
    generated: Features,
    target: Target,
    label_N: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Compute metrics; precision, recall and class accuracy in per cent, as the paper's tables have them.

    Args:
        label_N: Classes that the images were generated of, for ``class_accuracy``.
        device: Where distances between features are computed.
    """
    found = {}
    for name in (x for x in _FRECHET if x in metrics):
        moments = Moments.of(getattr(generated, _FRECHET[name]))
        found[name] = frechet_distance(moments, target.moments_for(name))
    if "inception_score" in metrics:
        found["inception_score"] = inception_score(generated.logit_NK)
    if {"precision", "recall"} & set(metrics):
        shares = precision_recall(generated.pooled_ND.to(device), target.features.pooled_ND.to(device))
        both = dict(zip(("precision", "recall"), shares, strict=True))
        found |= {name: 100 * x for name, x in both.items() if name in metrics}
    if "class_accuracy" in metrics:
        found["class_accuracy"] = 100 * class_accuracy(generated.logit_NK, label_N)
    return found


def remarks(
    metrics: Collection[str], generated: Features, target: Target, label_N: Tensor | None = None
) -> list[str]:
    """Say what makes the values of these metrics doubtful."""
    found = []
    for name in (x for x in _FRECHET if x in metrics):
        width = getattr(generated, _FRECHET[name]).shape[1]
        known = target.moments.get(name)
        real = len(target.features) if known is None else known.count
        for kind, count in (("generated", len(generated)), ("real", real)):
            if count is not None and count <= width:
                found.append(
                    f"{name}: {count:,} {kind} images are too few for a covariance of full rank of {width:,} "
                    "features: compare it with values of as many images alone"
                )
    if "inception_score" in metrics and label_N is not None and len(label_N) > SPLIT_SIZE:
        labels = label_N.numpy()
        if len(np.unique(labels)) > 1 and np.all(np.diff(labels) >= 0):
            found.append(
                "inception_score: the images are in the order of their classes, so its splits of "
                f"{SPLIT_SIZE:,} lack classes and the value is too small; mix them"
            )
    return found
