"""Pictures of what a classifier predicts, and of what it confuses."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from torch import Tensor

from mmvisionllama.engine.pictures import PicturesHook, bare_panels, class_name
from mmvisionllama.engine.reports import write_png
from mmvisionllama.registry import HOOKS

_MOST_NAMED = 40
_RIGHT, _WRONG = "#1a7f37", "#cf222e"


@HOOKS.register_module()
class ClsPicturesHook(PicturesHook):
    """Draw images with the predicted class and its probability; under a wrong one stands the true class."""

    def __init__(self, number: int = 32, out_dir: str | None = None) -> None:
        super().__init__(number, out_dir)

    def keep(
        self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None
    ) -> dict[str, Any]:
        """Return the image as RGB, and the names of the predicted and the true class.

        Raises:
            TypeError: if the model predicts no class.
        """
        if "pred_label" not in sample or img is None:
            raise self._refusal(sample, "pred_label")
        name = partial(class_name, metainfo.get("classes"))
        predicted = int(sample.pred_label)
        return {
            "image": img.flip(0).permute(1, 2, 0).cpu().numpy(),  # pipelines read BGR
            "predicted": name(predicted),
            "score": float(sample.pred_score[predicted]) if "pred_score" in sample else None,
            "truth": name(int(sample.gt_label)) if "gt_label" in sample else None,
        }

    def draw(self, kept: list[dict[str, Any]], metainfo: dict[str, Any]) -> Figure:
        """Draw a grid, eight to a row; titles are green where the prediction is right, else red."""
        figure, axes = bare_panels(len(kept), 8, 1.6, 2.0)
        for ax, one in zip(axes, kept, strict=True):
            ax.imshow(one["image"], cmap="gray", interpolation="nearest")
            right = one["truth"] in (None, one["predicted"])
            title = one["predicted"] + (f" {one['score']:.2f}" if one["score"] is not None else "")
            title += "" if right else f"\n(is {one['truth']})"
            ax.set_title(title, fontsize="small", color=_RIGHT if right else _WRONG)
        return figure


@HOOKS.register_module()
class ConfusionHook(Hook):
    """Draw ``confusion.png`` at the end of a test: what was taken for what, and each class's accuracy."""

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin with no predictions."""
        self._pairs: list[tuple[int, int]] = []

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Note the true and the predicted class of every image."""
        self._pairs += [(int(sample.gt_label), int(sample.pred_label)) for sample in outputs or ()]

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Gather the predictions of all processes and draw."""
        dataset = runner.test_loop.dataloader.dataset
        pairs = collect_results(self._pairs, len(dataset), device="gpu")  # by messages, not by shared files
        if not is_main_process() or not pairs:
            return
        figure = draw_confusion(np.asarray(pairs), dataset.metainfo.get("classes"))
        write_png(figure, Path(runner.work_dir) / "confusion.png")
        runner.logger.info("Confusion matrix: %s", Path(runner.work_dir) / "confusion.png")


def draw_confusion(pairs: NDArray, classes: Sequence[str] | None = None) -> Figure:
    """Draw the confusion matrix, in shares of the true class, beside the accuracy of each class.

    Args:
        pairs: (images, 2): true and predicted class.
        classes: Names; beyond 40 classes the axes have numbers alone.
    """
    count = max(len(classes or ()), int(pairs.max()) + 1)
    matrix = np.bincount(pairs[:, 0] * count + pairs[:, 1], minlength=count**2).reshape(count, count)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    accuracy = np.diagonal(share)
    side = float(np.clip(0.35 * count, 4, 12))
    figure = Figure(figsize=(side + 1 + 0.6 * side, side + 0.6), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 0.6]})
    shown = left.imshow(share, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    figure.colorbar(shown, ax=left, label="share of the true class")
    left.set(xlabel="predicted", ylabel="true")
    order = np.arange(count)
    right.barh(order, 100 * accuracy, height=0.8, color="#4b86c2")
    right.set(xlim=(0, 100), ylim=(count - 0.5, -0.5), xlabel="accuracy of the class, %")
    right.axvline(100 * (pairs[:, 0] == pairs[:, 1]).mean(), color="0.2", linestyle="--", label="all images")
    right.legend(loc="lower left", fontsize="small")
    if count <= _MOST_NAMED:
        names = [class_name(classes, i) for i in order]
        left.set_xticks(order, names, rotation=90)
        left.set_yticks(order, names)
        right.set_yticks(order, names)
        for i, j in np.argwhere(matrix > 0):
            dark = share[i, j] > 0.5
            colour = "white" if dark else "black"
            left.text(j, i, matrix[i, j], ha="center", va="center", fontsize="x-small", color=colour)
    return figure
