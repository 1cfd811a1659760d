"""Log lines: speed in trainings; in validations and tests their own values, not means over past ones."""

import copy
import re
from typing import Any

import torch
from mmengine.runner import LogProcessor, Runner

from mmvisionllama.reports.speed import peak_memory, speed_of

_NOTHING = re.compile(r"(?!)")


class OwnValues(LogProcessor):
    """mmengine's log processor, whose lines also tell the speed, and after a validation what this one gave.

    mmengine smooths whatever is called a loss over the last ``window_size`` values. In a training these are
    steps; of a metric such as ``denoising/loss`` they are whole validations. What ``custom_cfg`` asks for
    stays, as does the mean time of a batch.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """See mmengine; images a second, share of waiting for data, MFU, and on a CPU memory are added."""
        tag, text = super().get_log_after_iter(runner, batch_idx, mode)
        if (speed := speed_of(runner, mode)) is None:
            return tag, text
        memory = [] if torch.cuda.is_available() else [f"memory: {peak_memory() >> 20}"]
        prefix = f"{mode}/" if self.log_with_hierarchy else ""
        tag |= {f"{prefix}{name}": value for name, value in speed.scalars().items()}
        return tag, "  ".join([text.rstrip(), *memory, *speed.facts()])

    def get_log_after_epoch(self, *args: Any, **kwargs: Any) -> tuple[dict, str]:
        """See mmengine."""
        unsmoothed = copy.copy(self)
        unsmoothed.mean_pattern = _NOTHING
        return super(OwnValues, unsmoothed).get_log_after_epoch(*args, **kwargs)
