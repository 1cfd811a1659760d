"""Base of the hooks that draw predictions.png, one for each task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.datasets.same_size_batches import evaluated_places
from mmvisionllama.reports.figures import write_figure


class PicturesHook(Hook):
    """Draw ``predictions.png`` from a few predictions of every validation and test.

    The pictures are evenly spaced over the data set, so every validation and every run shows the same. Of
    several processes the first one draws, from what it evaluates itself. Subclasses say what they keep of a
    prediction (``keep``) and how they draw what was kept (``draw``).

    Args:
        number: How many predictions to draw.
        out_dir: A second folder to draw in, besides the work directory.
    """

    @checked
    def __init__(self, number: Positive = 8, out_dir: str | None = None) -> None:
        self.number = number
        self.out_dir = out_dir
        self._kept: dict[int, Any] | None = None  # by place in the data

    def keep(self, sample: BaseDataElement, metainfo: dict[str, Any], img: Tensor | None = None) -> Any:
        """Return what is needed to draw a prediction, small and in host memory.

        Args:
            img: What the data pipeline made of the image, (channels, img_h, img_w), before normalisation.

        Raises:
            TypeError: if the model does not predict what is drawn.
        """
        raise NotImplementedError

    def draw(self, kept: list[Any], metainfo: dict[str, Any]) -> Figure:
        """Draw what ``keep`` returned for every picture."""
        raise NotImplementedError

    def require(self, sample: BaseDataElement, field: str) -> None:
        """Raise a TypeError if the model does not predict what this hook draws."""
        if field not in sample:
            raise TypeError(
                f"{type(self).__name__} draws {field}, but the model gave {type(sample).__name__} with "
                f"{sorted(sample.keys())}; take the hook out of the config"
            )

    # The methods that mmengine calls in every mode, as its IterTimerHook overrides them.

    def _before_epoch(self, runner: Runner, mode: str = "train") -> None:
        """Choose the pictures."""
        if mode == "train":
            return
        dataloader = getattr(runner, f"{mode}_loop").dataloader
        self._places = evaluated_places(dataloader)
        total = len(self._places)
        self._metainfo = dataloader.dataset.metainfo
        self._chosen = set(np.linspace(0, total - 1, min(self.number, total)).round().astype(int).tolist())
        self._seen, self._kept = 0, {}

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
        mode: str = "train",
    ) -> None:
        """Keep what was chosen of a batch."""
        if mode == "train" or not is_main_process():
            return
        for i, sample in enumerate(outputs or ()):
            place = self._places[self._seen]
            if place in self._chosen:
                img = None if data_batch is None else data_batch["inputs"][i]
                self._kept[place] = self.keep(sample, self._metainfo, img)
            self._seen += 1

    def _after_epoch(self, runner: Runner, mode: str = "train") -> None:
        """Draw the pictures."""
        if mode == "train" or not self._kept:
            return
        figure = self.draw([self._kept[place] for place in sorted(self._kept)], self._metainfo)
        folders = filter(None, (runner.work_dir, self.out_dir))
        write_figure(figure, *(Path(folder) / "predictions.png" for folder in folders))
        self._kept = {}

    def after_run(self, runner: Runner) -> None:
        """Say so if there was nothing to draw."""
        if self._kept is None and is_main_process():
            print_log(
                f"{type(self).__name__}: nothing was validated, so no predictions.png", logger="current"
            )
