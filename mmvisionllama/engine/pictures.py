"""Pictures of what a trained model predicts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from mmvisionllama.engine.reports import write_png
from mmvisionllama.registry import HOOKS

_LONGEST_SIDE = 512
_IGNORED = "ignored"


class PicturesHook(Hook):
    """Draw ``predictions.png`` from a few predictions of every validation and test.

    The pictures are evenly spaced over the data set, so every validation and every run shows the same. Of
    several processes the first one draws, from what it evaluates itself. Subclasses say what they keep of a
    prediction (``keep``) and how they draw what was kept (``draw``).

    Args:
        number: How many predictions to draw.
        out_dir: A second folder to draw in, besides the work directory.
    """

    def __init__(self, number: int = 8, out_dir: str | None = None) -> None:
        if number < 1:
            raise ValueError(f"number: expected at least 1 picture, got {number}")
        self.number = number
        self.out_dir = out_dir
        self._kept: list[Any] | None = None

    def keep(self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None) -> Any:
        """Return what is needed to draw a prediction, small and in host memory.

        Args:
            img: What the data pipeline made of the image, (channels, img_h, img_w), before normalisation.
        """
        raise NotImplementedError

    def draw(self, kept: list[Any], metainfo: dict[str, Any]) -> Figure:
        """Draw what ``keep`` returned for every picture."""
        raise NotImplementedError

    def _refusal(self, sample: BaseDataElement, what: str) -> TypeError:
        """Give the error for a model that predicts nothing that this hook draws."""
        return TypeError(
            f"{type(self).__name__} draws {what}, but the model gave {type(sample).__name__} with "
            f"{sorted(sample.keys())}; take the hook out of the config"
        )

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the pictures of a validation."""
        self._choose(runner.val_loop.dataloader)

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the pictures of a test."""
        self._choose(runner.test_loop.dataloader)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Keep what was chosen of a batch."""
        self._collect(data_batch, outputs or ())

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Keep what was chosen of a batch."""
        self._collect(data_batch, outputs or ())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Draw the pictures of a validation."""
        self._write(runner)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Draw the pictures of a test."""
        self._write(runner)

    def after_run(self, runner: Runner) -> None:
        """Say so if there was nothing to draw."""
        if self._kept is None and is_main_process():
            print_log(
                f"{type(self).__name__}: nothing was validated, so no predictions.png", logger="current"
            )

    def _choose(self, dataloader: DataLoader) -> None:
        total = len(dataloader.sampler)
        self._metainfo = dataloader.dataset.metainfo
        self._chosen = set(np.linspace(0, total - 1, min(self.number, total)).round().astype(int).tolist())
        self._seen, self._kept = 0, []

    def _collect(self, data_batch: Any, outputs: Sequence[BaseDataElement]) -> None:
        if not is_main_process():
            return
        images = data_batch["inputs"] if data_batch is not None else None
        for i, sample in enumerate(outputs):
            if self._seen in self._chosen:
                img = None if images is None else images[i]
                self._kept.append(self.keep(sample, self._metainfo, img))
            self._seen += 1

    def _write(self, runner: Runner) -> None:
        if not self._kept:
            return
        figure = self.draw(self._kept, self._metainfo)
        folders = filter(None, (runner.work_dir, self.out_dir))
        write_png(figure, *(Path(folder) / "predictions.png" for folder in folders))
        self._kept = []


@HOOKS.register_module()
class SegPicturesHook(PicturesHook):
    """Draw images, their ground truth and the predicted segmentation side by side, with a legend.

    Pixels without a label are drawn as a grey checkerboard, and the legend lists the classes that occur.
    """

    def keep(
        self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None
    ) -> dict[str, Any]:
        """Return name, image (RGB) and label maps, at most 512 pixels on the longer side.

        Raises:
            TypeError: if the model predicts no segmentation.
        """
        if "pred_sem_seg" not in sample:
            raise self._refusal(sample, "pred_sem_seg")
        truth = _labels(sample.gt_sem_seg) if "gt_sem_seg" in sample else None
        predicted = _labels(sample.pred_sem_seg)
        size = shown_size(*predicted.shape)
        image = mmcv.imread(sample.img_path, channel_order="rgb")
        return {
            "name": Path(sample.img_path).name,
            "image": mmcv.imresize(image, size, interpolation="area"),
            "truth": None if truth is None else mmcv.imresize(truth, size, interpolation="nearest"),
            "predicted": mmcv.imresize(predicted, size, interpolation="nearest"),
        }

    def draw(self, kept: list[dict[str, Any]], metainfo: dict[str, Any]) -> Figure:
        """Draw one row per image: the image, its ground truth if there is one, and the prediction."""
        classes, palette = metainfo["classes"], np.asarray(metainfo["palette"], dtype=np.uint8)
        maps = [x[key] for x in kept for key in ("truth", "predicted") if x[key] is not None]
        present = sorted(set().union(*(np.unique(x).tolist() for x in maps)))
        titles = {"image": "image", "truth": "ground truth", "predicted": "prediction"}
        figure, panels = rows_of_pictures(kept, titles, below=0.25 * -(-len(present) // 4) + 0.6)
        for ax, one, key in panels:
            picture = one[key] if key == "image" else _colours(one[key], palette)
            ax.imshow(picture, interpolation="nearest")
        figure.legend(
            handles=_legend(present, classes, palette), loc="outside lower center", ncols=4, fontsize="small"
        )
        return figure


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Give the width and height at which an image is drawn: its own, or 512 pixels on the longer side."""
    shrink = min(1.0, _LONGEST_SIDE / max(height, width))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def class_name(classes: Sequence[str] | None, label: int) -> str:
    """Give the first name of a class, else its number."""
    known = classes is not None and label < len(classes)
    return str(classes[label]).split(",")[0] if known else str(label)


def bare_panels(number: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray]:
    """Make a figure of one panel without axes for each of some images, in rows of ``columns``.

    Args:
        width, height: Of a panel with its title, in inches.
    """
    columns = min(columns, number)
    rows = -(-number // columns)
    figure = Figure(figsize=(width * columns, height * rows), dpi=100, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    return figure, axes[:number]


def rows_of_pictures(
    kept: list[dict[str, Any]], titles: dict[str, str], below: float
) -> tuple[Figure, list[tuple[Axes, dict[str, Any], str]]]:
    """Make a figure of one row per image and one column per title, and list what to draw in its panels.

    Args:
        kept: Each with ``name``, ``image`` (RGB) and an entry for every title; None is left blank.
        titles: Of the columns, by key; ``truth`` is left out where no image has any.
        below: Inches for what stands around the rows.

    Returns: The figure, and for every panel that is not blank its axes, image and key.
    """
    if all(x["truth"] is None for x in kept):
        titles = {key: title for key, title in titles.items() if key != "truth"}
    heights = [x["image"].shape[0] / x["image"].shape[1] for x in kept]
    figure = Figure(figsize=(3 * len(titles), 3 * sum(heights) + below), dpi=100, layout="constrained")
    axes = figure.subplots(len(kept), len(titles), squeeze=False, gridspec_kw={"height_ratios": heights})
    for ax, title in zip(axes[0], titles.values(), strict=True):
        ax.set_title(title)
    for row, one in zip(axes, kept, strict=True):
        row[0].set_ylabel(one["name"], fontsize="small")
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
    panels = [
        (ax, one, key)
        for row, one in zip(axes, kept, strict=True)
        for ax, key in zip(row, titles, strict=True)
    ]
    return figure, [panel for panel in panels if panel[1][panel[2]] is not None]


def _labels(pixels: BaseDataElement) -> NDArray:
    """Return a label map as (H, W) uint16, which holds every class number and 255."""
    return pixels.data.squeeze(0).cpu().numpy().astype(np.uint16)


def _colours(labels: NDArray, palette: NDArray) -> NDArray:
    rows, columns = np.indices(labels.shape)
    side = max(2, max(labels.shape) // 32)
    checks = np.where((rows // side + columns // side) % 2, 200, 120).astype(np.uint8)
    known = labels < len(palette)
    return np.where(known[..., None], palette[np.where(known, labels, 0)], checks[..., None])


def _legend(present: list[int], classes: Sequence[str], palette: NDArray) -> list[Patch]:
    handles = [Patch(color=palette[x] / 255, label=classes[x]) for x in present if x < len(palette)]
    if any(x >= len(palette) for x in present):
        handles.append(Patch(facecolor="0.78", edgecolor="0.47", hatch="xx", label=_IGNORED))
    return handles
