"""Results of an evaluation in the order of its data, whatever batches it took."""

from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvisionllama.datasets.same_size_batches import evaluated_places


class ResultsOrderHook(Hook):
    """Put what metrics keep of each image into the order of the data set, before they gather and compute.

    Saved predictions are listed as by batches of one image. A metric that keeps anything else than one result
    of each image stays as it is.
    """

    # The methods that mmengine calls in every mode, as its IterTimerHook overrides them.

    def _before_epoch(self, runner: Runner, mode: str = "train") -> None:
        """Note the order, and where the evaluation ends."""
        if mode == "train":
            return
        dataloader = getattr(runner, f"{mode}_loop").dataloader
        self._last, self._order = len(dataloader) - 1, np.argsort(evaluated_places(dataloader))

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = "train"
    ) -> None:
        """Sort after the last batch."""
        if mode == "train" or batch_idx != self._last:
            return
        for metric in getattr(runner, f"{mode}_loop").evaluator.metrics:
            if len(metric.results) == len(self._order):
                metric.results = [metric.results[i] for i in self._order]
