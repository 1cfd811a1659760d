"""Base of the hooks that write a report of a training after every validation and at the end."""

from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvisionllama.files import plain_float

# Its name must not begin with train, val or test, because mmengine logs such values.
_VALIDATIONS = "past_validations"


def validations(runner: Runner) -> list[dict[str, Any]]:
    """Return step, epoch and metrics of every validation of a training, also before a resume."""
    return runner.message_hub.runtime_info.get(_VALIDATIONS, [])


class ReportHook(Hook):
    """Report on a training at every validation and at its end, by the first process alone.

    Subclasses write their file in ``report``. Validations are kept in the message hub, which checkpoints
    hold, so that a resumed run reports on the whole training.
    """

    _training = False

    def before_train(self, runner: Runner) -> None:
        """Note that this run trains: ``after_run`` also ends evaluations."""
        self._training = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Keep the scalars of a validation, before any hook of lower priority saves a checkpoint."""
        if not self._training:
            return
        scalars = {name: plain_float(x) for name, x in (metrics or {}).items() if np.ndim(x) == 0}
        this = {"step": runner.iter, "epoch": runner.epoch, "metrics": scalars}
        earlier = [x for x in validations(runner) if x["step"] < runner.iter]
        runner.message_hub.update_info(_VALIDATIONS, [*earlier, this])

    def after_val(self, runner: Runner) -> None:
        """Refresh the report, so that a run that is killed leaves one."""
        if self._training and is_main_process():
            self.report(runner, "running")

    def after_run(self, runner: Runner) -> None:
        """Write the final report."""
        if self._training and is_main_process():
            self.report(runner, "finished")

    def report(self, runner: Runner, status: str) -> None:
        """Write the report in the work directory; ``status`` is ``running`` or ``finished``."""
        raise NotImplementedError
