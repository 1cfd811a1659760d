"""confusion.png: the confusion matrix of a test, and the accuracy of each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmpretrain.evaluation import ConfusionMatrix
from numpy.typing import NDArray

from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.figures import class_bars, write_figure
from mmvisionllama.reports.naming import class_name

_MOST_NAMED = 40


@HOOKS.register_module()
class ConfusionHook(Hook):
    """Draw ``confusion.png`` at the end of a test from mmpretrain's confusion matrix."""

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin with no predictions."""
        self._classes = runner.test_loop.dataloader.dataset.metainfo.get("classes")
        # "gpu" gathers by messages between the processes; "cpu" needs a folder that all machines share.
        self._metric = ConfusionMatrix(len(self._classes or ()) or None, collect_device="gpu")

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Note the true and the predicted class of every image."""
        self._metric.process(data_batch, [sample.to_dict() for sample in outputs or ()])

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Gather the predictions of all processes and draw."""
        (matrix,) = self._metric.evaluate(len(runner.test_loop.dataloader.dataset)).values()
        if is_main_process():
            file = Path(runner.work_dir) / "confusion.png"
            write_figure(draw_confusion(matrix.numpy(), self._classes), file)
            runner.logger.info("Confusion matrix: %s", file)


def draw_confusion(matrix: NDArray, classes: Sequence[str] | None = None) -> Figure:
    """Draw a confusion matrix, in shares of the true class, beside the accuracy of each class.

    Args:
        matrix: Numbers of images, true classes in rows and predicted ones in columns.
        classes: Names; beyond 40 classes the axes have numbers alone.
    """
    count = len(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.35 * count, 4, 12))
    figure = Figure(figsize=(side + 1 + 0.6 * side, side + 0.6), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 0.6]})
    shown = left.imshow(share, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    figure.colorbar(shown, ax=left, label="share of the true class")
    left.set(xlabel="predicted", ylabel="true")
    class_bars(right, 100 * np.diagonal(share), "accuracy of the class, %")
    mean = 100 * np.trace(matrix) / matrix.sum()
    right.axvline(mean, color="0.2", linestyle="--", label="all images")
    right.legend(loc="lower left", fontsize="small")
    if count <= _MOST_NAMED:
        order, names = range(count), [class_name(classes, i) for i in range(count)]
        left.set_xticks(order, names, rotation=90)
        left.set_yticks(order, names)
        right.set_yticks(order, names)
        for i, j in np.argwhere(matrix > 0):
            colour = "white" if share[i, j] > 0.5 else "black"
            left.text(j, i, matrix[i, j], ha="center", va="center", fontsize="x-small", color=colour)
    return figure
