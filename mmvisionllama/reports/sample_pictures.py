"""predictions.png of a generator: a grid of samples with their classes."""

from typing import Any

from matplotlib.figure import Figure
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.figures import image_grid
from mmvisionllama.reports.naming import class_name
from mmvisionllama.reports.pictures import PicturesHook


@HOOKS.register_module()
class SamplePicturesHook(PicturesHook):
    """Draw generated images in rows of ten, each titled with its class."""

    @checked
    def __init__(self, number: Positive = 50, out_dir: str | None = None) -> None:
        super().__init__(number, out_dir)

    def keep(
        self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None
    ) -> dict[str, Any]:
        """Return the image, (img_h, img_w, channels), and the name of its class."""
        self.require(sample, "pred_img")
        title = class_name(metainfo.get("classes"), int(sample.gt_label))
        return {"image": sample.pred_img.permute(1, 2, 0).cpu().numpy(), "title": title}

    def draw(self, kept: list[dict[str, Any]], metainfo: dict[str, Any]) -> Figure:
        """Draw a grid."""
        return draw_grid(kept)


def draw_grid(images: list[dict[str, Any]]) -> Figure:
    """Draw images in rows of ten, each a dict of ``image``, (img_h, img_w, channels), and ``title``."""
    figure, axes = image_grid(len(images), 10, 1.2, 1.45)
    for ax, one in zip(axes, images, strict=True):
        ax.imshow(one["image"], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(one["title"], fontsize="x-small")
    return figure
