"""Log lines of validations and tests: their own values, not means over past ones."""

import copy
import re
from typing import Any

from mmengine.runner import LogProcessor

_NOTHING = re.compile(r"(?!)")


class OwnValues(LogProcessor):
    """mmengine's log processor, whose lines after a validation or a test say what this one gave.

    mmengine smooths whatever is called a loss over the last ``window_size`` values. In a training these are
    steps; of a metric such as ``denoising/loss`` they are whole validations. What ``custom_cfg`` asks for
    stays, as does the mean time of a batch.
    """

    def get_log_after_epoch(self, *args: Any, **kwargs: Any) -> tuple[dict, str]:
        """See mmengine."""
        unsmoothed = copy.copy(self)
        unsmoothed.mean_pattern = _NOTHING
        return super(OwnValues, unsmoothed).get_log_after_epoch(*args, **kwargs)
