"""Figures of curves: one or several runs, by step and by time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mmvisionllama.run_reports.logged_curves import Curve, is_greater_better
from mmvisionllama.run_reports.pages import Gallery, Picture
from mmvisionllama.run_reports.work_directory import Run

_MOST_METRICS = 6
_TRAINED = {"loss": "training loss", "rate": "learning rate", "grad_norm": "gradient norm"}
_UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (120.0, 60.0, "minutes"))
_DIRECTIONS = {True: ", more is better", False: ", less is better", None: ""}


def curves_of(run: Run) -> dict[str, Curve]:
    """Return the curves of a run that are worth a picture: loss, rate, gradient norm, every metric.

    The rate is that of the config where parameter groups have their own.
    """
    rate = run.curves.get("base_lr") or run.curves.get("lr")
    named = {**run.curves, **({} if rate is None else {"rate": rate})}
    return {**{title: named[x] for x, title in _TRAINED.items() if x in named}, **run.validated}


def shared_curves(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """Return the names of the curves that at least two runs have (of one run: all), and the other names."""
    each = [curves_of(run) for run in runs]
    names = list(dict.fromkeys(name for curves in each for name in curves))
    least = min(2, len(runs))
    shared = [name for name in names if sum(name in curves for curves in each) >= least]
    return shared, [name for name in names if name not in shared]


def shown_curves(names: Sequence[str]) -> list[str]:
    """Return the curves of a picture: those of the training, and the first metrics."""
    trained = [name for name in names if name in _TRAINED.values()]
    return trained + [name for name in names if name not in trained][:_MOST_METRICS]


def draw_curves(runs: Sequence[Run], names: Sequence[str], *, by_time: bool = False) -> Figure:
    """Draw a panel for each curve, by step or by the time of the training."""
    figure = Figure(figsize=(6.2, 2.2 * len(names) + 0.6), dpi=120, layout="constrained")
    axes = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    each = [curves_of(run) for run in runs]
    ends = [curve.seconds[-1] for curves in each for x in names if (curve := curves.get(x)) is not None]
    longest = max((x for x in ends if np.isfinite(x)), default=0.0)
    scale, unit = next(((scale, unit) for most, scale, unit in _UNITS if longest > most), (1.0, "seconds"))
    for ax, name in zip(axes, names, strict=True):
        for number, (run, curves) in enumerate(zip(runs, each, strict=True)):
            if (curve := curves.get(name)) is not None:
                style = {"color": f"C{number % 10}", "label": run.name}
                style["linestyle"] = ("-", "--", ":")[number // 10 % 3]
                _draw(ax, curve.seconds / scale if by_time else curve.steps, curve.values, style)
        is_metric = name not in _TRAINED.values()
        ax.set_title(name + (_DIRECTIONS[is_greater_better(name)] if is_metric else ""), fontsize="medium")
        ax.set_ylim(*_limits([curves[name].values for curves in each if name in curves]))
        ax.ticklabel_format(axis="y", useOffset=False)
        ax.grid(alpha=0.3)
    if not by_time:
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes[-1].set_xlabel(f"{unit} of training steps" if by_time else "step")
    if len(runs) > 1:
        found = {x: h for ax in axes for h, x in zip(*ax.get_legend_handles_labels(), strict=True)}
        ncols = 1 if max(map(len, found), default=0) > 30 else 2
        figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=ncols, fontsize="small")
    return figure


def curve_gallery(runs: Sequence[Run], names: Sequence[str], files: tuple[str, str]) -> Gallery:
    """Draw curves by step and, beside that, by time; ``files`` are the names of both pictures."""
    by_step, by_time = draw_curves(runs, names), draw_curves(runs, names, by_time=True)
    drawn = Picture.drawn(files[0], by_step, "by step"), Picture.drawn(files[1], by_time, "by time")
    return Gallery(drawn, wide=True)


def _draw(ax: Axes, at: NDArray, values: NDArray, style: dict) -> None:
    """Draw a line that has gaps where values are not finite; points show where there are few."""
    few = np.isfinite(values).sum() <= 30
    finite = np.where(np.isfinite(values), values, np.nan)
    ax.plot(at, finite, linewidth=1.5, marker="o" if few else None, markersize=3, **style)
    for place in at[~np.isfinite(values)][:100]:
        ax.axvline(place, color=style["color"], linestyle=":", linewidth=0.8, alpha=0.5)


def _limits(each: Sequence[NDArray]) -> tuple[float, float]:
    """Return where an axis begins and ends: a few huge first values do not flatten the rest."""
    good = np.concatenate([x[np.isfinite(x)] for x in each])
    if not len(good):
        return 0.0, 1.0
    low, high = good.min(), good.max()
    usual = np.percentile(good, 98)
    high = usual if len(good) > 50 and high - low > 3 * (usual - low) > 0 else high
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    return float(low - margin), float(high + margin)
