"""predictions.png of a classifier: images with predicted and true class."""

from functools import partial
from typing import Any

from matplotlib.figure import Figure
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.figures import image_grid
from mmvisionllama.reports.naming import class_name
from mmvisionllama.reports.pictures import PicturesHook

_RIGHT, _WRONG = "#1a7f37", "#cf222e"


@HOOKS.register_module()
class ClsPicturesHook(PicturesHook):
    """Draw images with the predicted class and its probability; under a wrong one stands the true class."""

    @checked
    def __init__(self, number: Positive = 32, out_dir: str | None = None) -> None:
        super().__init__(number, out_dir)

    def keep(
        self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None
    ) -> dict[str, Any]:
        """Return the image as RGB, and the names of the predicted and the true class."""
        self.require(sample, "pred_label")
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
        figure, axes = image_grid(len(kept), 8, 1.6, 2.0)
        for ax, one in zip(axes, kept, strict=True):
            ax.imshow(one["image"], cmap="gray", interpolation="nearest")
            right = one["truth"] in (None, one["predicted"])
            title = one["predicted"] + (f" {one['score']:.2f}" if one["score"] is not None else "")
            title += "" if right else f"\n(is {one['truth']})"
            ax.set_title(title, fontsize="small", color=_RIGHT if right else _WRONG)
        return figure
