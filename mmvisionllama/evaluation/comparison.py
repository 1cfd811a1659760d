"""Evaluate a set of generated images against a reference, and report it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.features import FeatureExtractor, extract
from mmvisionllama.evaluation.images import ImageSet
from mmvisionllama.evaluation.reference import Reference
from mmvisionllama.evaluation.sample_info import SampleInfo
from mmvisionllama.evaluation.scores import check_labels, choose_metrics, remarks, score


@dataclass(frozen=True)
class Evaluation:
    """Values of the metrics, and what to read them with.

    Attributes:
        real: What real images reach: the class accuracy of the reference, if it has labels.
        remarks: What makes values doubtful.
    """

    metrics: dict[str, float]
    real: dict[str, float]
    remarks: list[str]


def evaluate(
    samples: ImageSet,
    reference: Reference,
    extractor: FeatureExtractor,
    *,
    info: SampleInfo | None = None,
    metrics: Sequence[str] | None = None,
    batch_size: int = 50,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Evaluation:
    """Compute metrics of samples, on the device of the extractor.

    Args:
        info: What is known of the samples.
        metrics: None: all that the extractor is good for.
        progress: Called with what is being looked at, and its images done and in all.

    Raises:
        EvaluationError: if samples, reference and extractor do not fit; before anything is computed.
    """
    metrics = choose_metrics(metrics, extractor)
    _check_fit(samples, reference, extractor, metrics, info)
    target = reference.target(metrics, extractor, batch_size, partial(progress, "reference"))
    generated = extract(extractor, samples, batch_size, partial(progress, "samples"))
    label_N = None if samples.labels is None else torch.from_numpy(samples.labels)
    found = score(metrics, generated, target, label_N, extractor.device)
    real = {}
    if "class_accuracy" in metrics and target.features is not None and reference.images.labels is not None:
        real = score(["class_accuracy"], target.features, target, torch.from_numpy(reference.images.labels))
    return Evaluation(found, real, remarks(metrics, generated, target, label_N))


def as_facts(
    samples: ImageSet,
    reference: Reference,
    extractor: FeatureExtractor,
    evaluation: Evaluation,
    info: SampleInfo | None = None,
) -> dict[str, Any]:
    """Return what a report says, for JSON."""
    images = reference.images
    return {
        "metrics": evaluation.metrics,
        "remarks": evaluation.remarks,
        "features": extractor.title,
        "samples": {
            "path": samples.name,
            "count": len(samples),
            "image_shape": samples.image_shape,
            "labelled": samples.labels is not None,
        },
        "sampling": asdict(info or SampleInfo()),
        "reference": {
            "path": reference.name,
            "dataset": reference.dataset,
            "count": None if images is None else len(images),
            "moments": list(reference.moments) if extractor.adm_widths else [],
            **evaluation.real,
        },
    }


def parse_features(text: str) -> dict[str, Any]:
    """Read ``inception``, ``inception:WEIGHTS`` or ``CONFIG:CHECKPOINT`` as the config of an extractor.

    Raises:
        EvaluationError: for anything else.
    """
    kind, _, file = text.partition(":")
    if kind == "inception":
        return dict(type="InceptionFeatures", weights=file or None)
    if kind.endswith(".py") and file:
        return dict(type="ClassifierFeatures", config=kind, checkpoint=file)
    raise EvaluationError(
        f"features are 'inception', 'inception:WEIGHTS' or 'CONFIG:CHECKPOINT' of a classifier, got {text!r}"
    )


def _check_fit(
    samples: ImageSet,
    reference: Reference,
    extractor: FeatureExtractor,
    metrics: Sequence[str],
    info: SampleInfo | None,
) -> None:
    info = info or SampleInfo()
    if len({info.dataset, reference.dataset} - {None}) > 1:
        raise EvaluationError(
            f"{samples.name} holds samples of {info.dataset}, says the file beside it, {reference.name} is "
            f"of {reference.dataset}"
        )
    if info.count not in (None, len(samples)):
        raise EvaluationError(
            f"{samples.name} holds {len(samples):,} images, the file beside it says {info.count:,}: let the "
            "sampling end first"
        )
    reference.moments_for(metrics, extractor)
    if reference.images is not None and samples.image_shape[:2] != (real := reference.images.image_shape)[:2]:
        raise EvaluationError(
            f"{samples.name} holds images of {_size(samples.image_shape)}, {reference.name} of {_size(real)}"
        )
    if "class_accuracy" in metrics:
        _check_labels(samples, extractor, metrics)


def _check_labels(samples: ImageSet, extractor: FeatureExtractor, metrics: Sequence[str]) -> None:
    if samples.labels is None:
        others = " ".join(x for x in metrics if x != "class_accuracy")
        raise EvaluationError(
            f"{samples.name} has no labels, which class_accuracy needs: 'arr_1' in an .npz file, in a folder "
            f"names like 000012_class7.png. Leave it out by --metrics {others}"
        )
    check_labels(torch.from_numpy(samples.labels), extractor.num_classes)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]} px"
