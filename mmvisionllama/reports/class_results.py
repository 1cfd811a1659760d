"""Results of each class of an evaluation: IoU and accuracy of a segmentation, accuracy, AP of a detection."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric, Evaluator
from numpy.typing import NDArray

from mmvisionllama.files import plain_float
from mmvisionllama.host_internals import tell_class_scores, tell_coco_evaluations, tell_results
from mmvisionllama.reports.naming import class_name

_KINDS = {"bbox": "boxes", "segm": "masks"}


class ClassResults:
    """The results of each class of the last evaluation, which the hosts' metrics do not return.

    Attributes:
        found: Name of a result -> its values by class, in percent; NaN for a class that did not occur. Empty
            where the metrics know no classes, and in all processes but the first.
        classes: Names of the classes, None where they have none.
    """

    def __init__(self) -> None:
        self.found: dict[str, NDArray] = {}
        self.classes: Sequence[str] | None = None
        self._followed: list[BaseMetric] = []

    def follow(self, evaluator: Evaluator) -> None:
        """Forget the last evaluation, and listen to the metrics of the one that begins."""
        self.found.clear()
        self.classes = (evaluator.dataset_meta or {}).get("classes")
        for metric in evaluator.metrics:
            if not any(metric is x for x in self._followed):
                self._followed.append(metric)
                self._listen(metric)

    def by_name(self) -> dict[str, dict[str, float]]:
        """Return name of a result -> name of a class -> value; equal names of classes get their numbers."""
        count = max((len(x) for x in self.found.values()), default=0)
        names = [class_name(self.classes, i) for i in range(count)]
        if len(set(names)) < count:
            names = [f"{name} ({i})" for i, name in enumerate(names)]
        return {
            result: dict(zip(names, (round(plain_float(x), 3) for x in values), strict=False))
            for result, values in self.found.items()
        }

    def _listen(self, metric: BaseMetric) -> None:
        kinds = {x.__name__ for x in type(metric).__mro__}
        if "IoUMetric" in kinds:
            tell_class_scores(metric, self.found.update)
        elif "Accuracy" in kinds:
            tell_results(metric, lambda results: self._take(_accuracy(results, metric.thrs[0])))
        elif "CocoMetric" in kinds:
            tell_coco_evaluations(metric, lambda x: self._take(_average_precision(x, metric.cat_ids)))

    def _take(self, found: dict[str, NDArray]) -> None:
        self.found.update(found)


def _accuracy(results: list[dict[str, Any]], threshold: float | None) -> dict[str, NDArray]:
    """Return the share of right images of each class, as mmpretrain's Accuracy counts its first ``top1``.

    Args:
        results: Of every image its class, and scores of all classes or the predicted one.
    """
    truth = np.array([int(x["gt_label"]) for x in results])
    if "pred_score" in results[0]:
        scores = np.stack([x["pred_score"].float().numpy() for x in results])
        count, right = scores.shape[1], scores.argmax(axis=1) == truth
        if threshold is not None:
            right &= scores.max(axis=1) > threshold
    else:
        right = np.array([int(x["pred_label"]) for x in results]) == truth
        count = truth.max() + 1
    images = np.bincount(truth, minlength=count)
    shares = np.bincount(truth, weights=right, minlength=count) / np.maximum(images, 1)
    return {"accuracy": np.where(images > 0, 100 * shares, np.nan)}


def _average_precision(evaluation: Any, cat_ids: Sequence[int]) -> dict[str, NDArray]:
    """Return AP and AP50 of each class from COCO's evaluation; nothing of one that knows no classes.

    Args:
        cat_ids: Of the classes in their order; the evaluation has them sorted.
    """
    params, kind = evaluation.params, _KINDS.get(evaluation.params.iouType)
    if not params.useCats or kind is None:
        return {}
    # (IoU, recall, class, area, detections of an image): objects of every size, the most detections.
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    precision = np.ma.masked_less(precision, 0)  # -1: no such objects
    of_class = {category: i for i, category in enumerate(params.catIds)}
    order = [of_class[category] for category in cat_ids]
    found = {f"AP {kind}": precision.mean(axis=(0, 1))}
    at = np.flatnonzero(np.isclose(params.iouThrs, 0.5))
    if len(at):
        found[f"AP50 {kind}"] = precision[at[0]].mean(axis=0)
    return {name: 100 * np.ma.filled(values, np.nan)[order] for name, values in found.items()}
