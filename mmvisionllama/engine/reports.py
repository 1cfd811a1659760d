"""What the hooks that report on a run share."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvisionllama.files import replaced_when_whole

# Not beginning with train, val or test: mmengine would log what does.
_VALIDATIONS = "past_validations"


def validations(runner: Runner) -> list[dict[str, Any]]:
    """Return step, epoch and metrics of every validation of a training, also before a resume."""
    return runner.message_hub.runtime_info.get(_VALIDATIONS, [])


def plain(number: Any) -> float:
    """Return a number as a Python float that reads like it: 80.53, not the 80.52999877929688 of a float32."""
    return float(str(number)) if isinstance(number, np.floating) else float(number)


def write_png(figure: Figure, *paths: Path) -> None:
    """Draw a figure once and put it at every path, whole or not at all."""
    FigureCanvasAgg(figure)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    for path in paths:
        with replaced_when_whole(path) as temporary:
            temporary.write_bytes(png.getvalue())


def as_json(content: dict[str, Any]) -> str:
    """Write facts as JSON; numbers that it has no word for (NaN, infinity) become null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(x) for x in value]
    if value is None or isinstance(value, (str, int)):
        return value
    number = plain(value)
    return number if math.isfinite(number) else None


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
        scalars = {name: plain(x) for name, x in (metrics or {}).items() if np.ndim(x) == 0}
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
