"""curves.png: loss, learning rate and validation metrics over the iterations."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mmengine.runner import Runner
from numpy.typing import NDArray

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.figures import write_figure
from mmvisionllama.reports.report_hook import ReportHook, validations


@HOOKS.register_module()
class CurvesHook(ReportHook):
    """Draw ``curves.png`` in the work directory: loss, learning rate and validation metrics over iterations.

    It is drawn after every validation and at the end. A resumed run draws the whole training.

    Args:
        smoothing: Iterations that the smoothed loss averages over; None for a fiftieth of those made.
    """

    @checked
    def __init__(self, smoothing: Positive | None = None) -> None:
        self._smoothing = smoothing
        self._drawn: tuple[str, int] | None = None

    def report(self, runner: Runner, status: str) -> None:
        """Draw ``curves.png``; does nothing before the first iteration."""
        loss = _history(runner, "loss")
        if not len(loss):
            return
        past = validations(runner)
        is_done = status == "finished" or runner.iter >= runner.max_iters
        planned = "" if is_done else f" of {runner.max_iters:,}"
        title = f"{runner.experiment_name}: {runner.iter:,}{planned} iterations"
        if self._drawn == (title, len(past)):
            return  # the run has ended with a validation
        self._drawn = title, len(past)
        figure = Figure(figsize=(9, 9 if past else 6), dpi=110, layout="constrained")
        axes = figure.subplots(3 if past else 2, 1, sharex=True)
        figure.suptitle(title)
        self._draw_loss(axes[0], loss, runner.iter)
        _draw_rate(axes[1], runner)
        if past:
            _draw_metrics(axes[2], past)
        axes[-1].set_xlabel("iteration")
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        write_figure(figure, Path(runner.work_dir) / "curves.png")

    def _draw_loss(self, ax: Axes, loss: NDArray, last: int) -> None:
        steps = _steps(loss, last)
        width = min(self._smoothing or max(1, len(loss) // 50), len(loss))
        style, mean = {"color": "tab:blue"}, f"mean of the last {width:,}"
        ax.plot(steps, loss, alpha=0.3, linewidth=0.8, label="every iteration", **style)
        ax.plot(steps, _smooth(loss, width), linewidth=1.8, label=mean, **style)
        good = loss[np.isfinite(loss)]
        if len(good):
            # Without the percentile, a few huge first losses would flatten the rest of the curve.
            low, high = good.min(), np.percentile(good, 99.5)
            margin = 0.05 * (high - low) or 0.05
            ax.set_ylim(low - margin, high + margin)
        bad = len(loss) - len(good)
        ax.set_title("Training loss" + (f" ({bad:,} values are not finite)" if bad else ""))
        ax.set_ylabel("loss")
        ax.legend(loc="upper right")
        ax.grid(alpha=0.3)


def _draw_rate(ax: Axes, runner: Runner) -> None:
    # With several parameter groups "lr" is that of the first, and "base_lr" the one that the config states.
    base, first = _history(runner, "base_lr"), _history(runner, "lr")
    lr = base if len(base) else first
    ax.plot(_steps(lr, runner.iter), lr, color="tab:orange", linewidth=1.8)
    ax.set_title("Learning rate" + (" (before any scale by layer)" if len(base) else ""))
    ax.set_ylabel("learning rate")
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    ax.grid(alpha=0.3)


def _draw_metrics(ax: Axes, past: list[dict]) -> None:
    for name in past[-1]["metrics"]:
        points = [(x["step"], x["metrics"][name]) for x in past if name in x["metrics"]]
        steps, values = zip(*points, strict=True)
        ax.plot(steps, values, marker="o", markersize=4, label=f"{name}, last {values[-1]:.4g}")
    ax.set_title("Validation, in the units of the metric")
    ax.set_ylabel("metric")
    ax.legend(loc="best", ncols=2, fontsize="small")
    ax.grid(alpha=0.3)


def _history(runner: Runner, name: str) -> NDArray:
    """Return what was logged at every training iteration; the message hub keeps it also over a resume."""
    scalars = runner.message_hub.log_scalars
    return scalars[f"train/{name}"].data[0] if f"train/{name}" in scalars else np.empty(0)


def _steps(values: NDArray, last: int) -> NDArray:
    # The hub forgets the oldest values first, so they are counted from the end.
    return np.arange(last - len(values), last) + 1


def _smooth(values: NDArray, width: int) -> NDArray:
    """Return the mean of the last ``width`` finite values at every place."""
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - width, 0)
    number = count[stop] - count[start]
    return np.divide(total[stop] - total[start], number, out=np.full(len(values), np.nan), where=number > 0)
