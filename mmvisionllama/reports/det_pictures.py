"""predictions.png of a detector: boxes, masks and classes beside the ground truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import mmcv
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from torch import Tensor

from mmvisionllama.arguments import Positive, Share, checked
from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.figures import image_rows, shown_size
from mmvisionllama.reports.pictures import PicturesHook

_CYCLE = 20  # colours of matplotlib's tab20; beyond, classes share them


@HOOKS.register_module()
class DetPicturesHook(PicturesHook):
    """Draw boxes, masks and classes of ground truth and prediction side by side.

    Args:
        number: How many images to draw.
        out_dir: A second folder to draw in, besides the work directory.
        score_thr: Predictions below this score are left out, in [0, 1].
    """

    @checked
    def __init__(self, number: Positive = 8, out_dir: str | None = None, *, score_thr: Share = 0.3) -> None:
        super().__init__(number, out_dir)
        self.score_thr = score_thr

    def keep(
        self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None
    ) -> dict[str, Any]:
        """Return name, image (RGB) and objects, at most 512 pixels on the longer side.

        Ground truth and predictions have the size of the file: as in the hosts' own pipelines of a test,
        annotations are loaded after the image is resized.
        """
        self.require(sample, "pred_instances")
        image = mmcv.imread(sample.img_path, channel_order="rgb")
        size = shown_size(*image.shape[:2])
        found = sample.pred_instances
        found = found[found.scores >= self.score_thr]
        scale = np.divide(size, image.shape[1::-1])
        truth = None
        if "gt_instances" in sample:
            truth = objects_of(sample.gt_instances, scale, size)
        return {
            "name": Path(sample.img_path).name,
            "image": mmcv.imresize(image, size, interpolation="area"),
            "truth": truth,
            "predicted": objects_of(found, scale, size),
        }

    def draw(self, kept: list[dict[str, Any]], metainfo: dict[str, Any]) -> Figure:
        """Draw one row per image: the ground truth if there is one, and the prediction with its scores."""
        titles = {"truth": "ground truth", "predicted": f"prediction, scores from {self.score_thr:g}"}
        figure, panels = image_rows(kept, titles, below=0.4)
        for ax, one, key in panels:
            draw_objects(ax, one["image"], one[key], metainfo["classes"])
        return figure


def objects_of(instances: BaseDataElement, scale: NDArray, size: tuple[int, int]) -> dict[str, Any]:
    """Give boxes (N, 4), labels, scores and masks of objects in the picture's pixels."""
    boxes = instances.bboxes
    boxes = boxes.tensor if hasattr(boxes, "tensor") else boxes
    objects = {
        "boxes": boxes.cpu().numpy() * np.tile(scale, 2),
        "labels": instances.labels.cpu().numpy(),
        "scores": instances.scores.cpu().numpy() if "scores" in instances else None,
        "masks": None,
    }
    if "masks" in instances:
        masks = instances.masks
        masks = masks.cpu().numpy() if isinstance(masks, Tensor) else masks.to_ndarray()
        objects["masks"] = [
            mmcv.imresize(mask.astype(np.uint8), size, interpolation="nearest").astype(bool) for mask in masks
        ]
    return objects


def draw_objects(ax: Axes, image: NDArray, objects: dict[str, Any], classes: Sequence[str]) -> None:
    """Draw an image (RGB, uint8) with what ``objects_of`` gives."""
    colours = matplotlib.colormaps["tab20"](np.arange(_CYCLE))[:, :3]
    picture = image / 255
    for mask, label in zip(objects["masks"] or [], objects["labels"], strict=False):
        picture[mask] = 0.5 * picture[mask] + 0.5 * colours[label % _CYCLE]
    ax.imshow(picture, interpolation="nearest")
    scores = objects["scores"] if objects["scores"] is not None else [None] * len(objects["labels"])
    for (x1, y1, x2, y2), label, score in zip(objects["boxes"], objects["labels"], scores, strict=True):
        colour = colours[label % _CYCLE]
        corner = (x1 - 0.5, y1 - 0.5)
        ax.add_patch(Rectangle(corner, x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.5))
        text = str(classes[label]) + ("" if score is None else f" {score:.2f}")
        style = dict(fontsize="small", color="white", verticalalignment="top")
        ax.text(*corner, text, **style, bbox=dict(facecolor=colour, edgecolor="none", pad=1))
