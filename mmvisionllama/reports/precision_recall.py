"""precision_recall.png of a detector: curves of precision over recall, and AP50 of each class."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.runner import Runner
from numpy.typing import NDArray

from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.figures import class_bars, write_figure

_KINDS = {"bbox": "boxes", "segm": "masks"}
_IOU = 0.5
_MOST_NAMED = 40


@HOOKS.register_module()
class PrecisionRecallHook(Hook):
    """Draw ``precision_recall.png`` at the end of a test, and leave the predictions beside it.

    The metric writes ``predictions.bbox.json`` and ``predictions.segm.json`` in the work directory, in COCO's
    format of results; overlaps count from 0.5.
    """

    def before_test_epoch(self, runner: Runner) -> None:
        """Let the metric keep what it evaluates."""
        self._metric: BaseMetric | None = None
        for metric in runner.test_evaluator.metrics:
            if hasattr(metric, "outfile_prefix"):
                if metric.outfile_prefix is None:
                    metric.outfile_prefix = str(Path(runner.work_dir) / "predictions")
                self._metric = metric

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Draw the curves of what the metric wrote."""
        if self._metric is None or not is_main_process():
            return
        dataset = runner.test_loop.dataloader.dataset
        names = dataset.metainfo["classes"]
        prefix, kinds = self._metric.outfile_prefix, [x for x in self._metric.metrics if x in _KINDS]
        files = {kind: Path(f"{prefix}.{kind}.json") for kind in kinds}
        curves = {
            kind: precision_by_recall(dataset.ann_file, json.loads(file.read_text()), kind, names)
            for kind, file in files.items()
            if file.is_file()
        }
        if not any(values.size for values in curves.values()):
            runner.logger.info("precision_recall.png: nothing was predicted, so there is nothing to draw")
            return
        out = Path(runner.work_dir) / "precision_recall.png"
        write_figure(draw_precision_recall(curves, names), out)
        runner.logger.info("Precision and recall: %s", out)


def precision_by_recall(
    annotations: str | dict[str, Any], predictions: list[dict[str, Any]], kind: str, classes: Sequence[str]
) -> NDArray:
    """Give the best precision at 101 levels of recall, (101, classes); NaN for a class without objects.

    Args:
        annotations: In COCO's format, or the file that has them.
        predictions: In COCO's format of results; empty for an empty array.
        kind: ``bbox`` or ``segm``.
    """
    if not predictions:
        return np.empty((0, len(classes)))
    from faster_coco_eval import COCO, COCOeval_faster

    if kind == "segm":
        # Where a prediction has a box too, the evaluator takes its area for the mask's.
        predictions = [{key: value for key, value in x.items() if key != "bbox"} for x in predictions]
    truth = COCO(annotations)
    evaluation = COCOeval_faster(truth, truth.loadRes(predictions), kind)
    evaluation.params.catIds = [truth.getCatIds(catNms=[name])[0] for name in classes]
    evaluation.params.iouThrs = np.array([_IOU])
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    return np.where(precision < 0, np.nan, precision)


def draw_precision_recall(curves: dict[str, NDArray], classes: Sequence[str]) -> Figure:
    """Draw a row for boxes and one for masks: the curve of every class, and each class's AP50.

    Args:
        curves: Of ``bbox`` or ``segm``, see :func:`precision_by_recall`; empty arrays are left out.
    """
    curves = {kind: values for kind, values in curves.items() if values.size}
    side = float(np.clip(0.22 * len(classes), 3.5, 14))
    figure = Figure(figsize=(10, side * len(curves) + 0.5), dpi=100, layout="constrained")
    axes = figure.subplots(len(curves), 2, squeeze=False, gridspec_kw={"width_ratios": [1, 0.7]})
    recall = np.linspace(0, 1, 101)
    for (left, right), (kind, values) in zip(axes, curves.items(), strict=True):
        for column in values.T:
            left.plot(recall, column, color="tab:blue", alpha=0.35, linewidth=0.9)
        mean = np.nanmean(values, axis=1)
        left.plot(recall, mean, color="0.1", linewidth=2, label=f"mean, AP50 {100 * np.nanmean(values):.1f}")
        left.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel=f"precision, {_KINDS[kind]}")
        left.grid(alpha=0.3)
        left.legend(loc="lower left", fontsize="small")
        average = 100 * np.nanmean(values, axis=0)
        class_bars(right, np.nan_to_num(average), f"AP50 of the class, {_KINDS[kind]}")
        if len(classes) <= 2 * _MOST_NAMED:
            size = "x-small" if len(classes) > _MOST_NAMED else "small"
            right.set_yticks(range(len(classes)), classes, fontsize=size)
    return figure
