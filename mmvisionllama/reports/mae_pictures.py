"""predictions.png of a masked autoencoder: originals, masked images, reconstructions."""

from typing import Any

from matplotlib.figure import Figure
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.pictures import PicturesHook

_ROWS = ("original", "masked", "reconstruction")


@HOOKS.register_module()
class MAEPicturesHook(PicturesHook):
    """Draw originals, what the encoder saw of them, and their reconstructions, below one another."""

    def keep(
        self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None
    ) -> dict[str, Any]:
        """Return the three pictures as RGB, and the loss."""
        self.require(sample, "reconstruction")
        pictures = {name: getattr(sample, name).permute(1, 2, 0).cpu().numpy() for name in _ROWS}
        return pictures | {"loss": sample.loss}

    def draw(self, kept: list[dict[str, Any]], metainfo: dict[str, Any]) -> Figure:
        """Draw one column per image, titled with its loss."""
        figure = Figure(figsize=(1.7 * len(kept) + 0.4, 5.6), dpi=100, layout="constrained")
        axes = figure.subplots(len(_ROWS), len(kept), squeeze=False)
        for row, name in zip(axes, _ROWS, strict=True):
            row[0].set_ylabel(name)
            for ax, one in zip(row, kept, strict=True):
                ax.set_xticks([])
                ax.set_yticks([])
                ax.imshow(one[name], interpolation="nearest")
        for ax, one in zip(axes[0], kept, strict=True):
            ax.set_title(f"loss {one['loss']:.3f}", fontsize="small")
        return figure
