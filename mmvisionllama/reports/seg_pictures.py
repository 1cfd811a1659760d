"""predictions.png of a segmentor: images, ground truth and prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from torch import Tensor

from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.figures import image_rows, shown_size
from mmvisionllama.reports.pictures import PicturesHook

_IGNORED = "ignored"


@HOOKS.register_module()
class SegPicturesHook(PicturesHook):
    """Draw images, their ground truth and the predicted segmentation side by side, with a legend.

    Pixels without a label are drawn as a grey checkerboard, and the legend lists the classes that occur.
    """

    def keep(
        self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None
    ) -> dict[str, Any]:
        """Return name, image (RGB) and label maps, at most 512 pixels on the longer side."""
        self.require(sample, "pred_sem_seg")
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
        figure, panels = image_rows(kept, titles, below=0.25 * -(-len(present) // 4) + 0.6)
        for ax, one, key in panels:
            picture = one[key] if key == "image" else label_colours(one[key], palette)
            ax.imshow(picture, interpolation="nearest")
        figure.legend(
            handles=label_legend(present, classes, palette),
            loc="outside lower center",
            ncols=4,
            fontsize="small",
        )
        return figure


def _labels(pixels: BaseDataElement) -> NDArray:
    """Return a label map as (H, W) uint16, which holds every class number and 255."""
    return pixels.data.squeeze(0).cpu().numpy().astype(np.uint16)


def label_colours(labels: NDArray, palette: NDArray) -> NDArray:
    """Return a label map (H, W) as RGB, pixels without a class as a grey checkerboard."""
    rows, columns = np.indices(labels.shape)
    side = max(2, max(labels.shape) // 32)
    checks = np.where((rows // side + columns // side) % 2, 200, 120).astype(np.uint8)
    known = labels < len(palette)
    return np.where(known[..., None], palette[np.where(known, labels, 0)], checks[..., None])


def label_legend(present: list[int], classes: Sequence[str], palette: NDArray) -> list[Patch]:
    """Return what a legend of the labels that occur shows."""
    handles = [Patch(color=palette[x] / 255, label=classes[x]) for x in present if x < len(palette)]
    if any(x >= len(palette) for x in present):
        handles.append(Patch(facecolor="0.78", edgecolor="0.47", hatch="xx", label=_IGNORED))
    return handles
