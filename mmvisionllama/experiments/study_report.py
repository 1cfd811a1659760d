"""Report of a study: table, JSON and curves of its runs."""

import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mmvisionllama.errors import StudyError
from mmvisionllama.experiments.study import Study
from mmvisionllama.experiments.study_runs import Job


@dataclass(frozen=True)
class Outcome:
    """What one run reached, over its seeds.

    Attributes:
        curves: By metric, for each seed the (step, value) of every validation.
        seconds: Of each training, also what came before a resume.
    """

    name: str
    label: str
    parameters: int
    seeds: tuple[int, ...]
    curves: dict[str, tuple[tuple[tuple[int, float], ...], ...]]
    seconds: tuple[float, ...]

    def finals(self, metric: str) -> tuple[float, ...]:
        """The last validation of each seed."""
        return tuple(curve[-1][1] for curve in self.curves[metric])

    def mean(self, metric: str) -> float:
        """The mean of the last validations."""
        return statistics.mean(self.finals(metric))

    def steps_to(self, metric: str, share: float) -> tuple[int, ...]:
        """Give each seed's first validated step with ``share`` of its own final value."""
        return tuple(
            next(step for step, value in curve if value >= share * curve[-1][1])
            for curve in self.curves[metric]
        )


def collect(study: Study, jobs: Sequence[Job]) -> list[Outcome]:
    """Read what the compared trainings left.

    Raises:
        StudyError: if a training did not measure the study's metrics.
    """
    outcomes = []
    for run in (run for run in study.runs if run.compared):
        mine = [job for job in jobs if job.run is run]
        facts = [job.summary("seconds", "parameters", "validations") for job in mine]
        curves = {
            metric: tuple(_curve(job, summary, metric) for job, summary in zip(mine, facts, strict=True))
            for metric in study.metrics
        }
        seconds = tuple(summary["seconds"] for summary in facts)
        outcomes.append(Outcome(run.name, run.label, facts[0]["parameters"], study.seeds, curves, seconds))
    return outcomes


def _curve(job: Job, summary: dict, metric: str) -> tuple[tuple[int, float], ...]:
    validations = summary["validations"]
    curve = tuple((x["step"], x["metrics"][metric]) for x in validations if metric in x["metrics"])
    if blank := [step for step, value in curve if value is None]:
        raise StudyError(f"{job.name}: {metric} was not finite in the validation after step {blank[0]}")
    if not curve:
        measured = sorted({name for x in validations for name in x["metrics"]})
        raise StudyError(f"{job.name} did not measure {metric!r}, but {measured}")
    return curve


def as_facts(study: Study, outcomes: Sequence[Outcome]) -> dict:
    """Give everything that a report says, for JSON."""
    rows = []
    for one in outcomes:
        final = {metric: one.finals(metric) for metric in study.metrics}
        row = {**vars(one), "final": final, "final_mean": {x: one.mean(x) for x in study.metrics}}
        if study.reach:
            row["steps_to_reach"] = one.steps_to(study.metrics[0], study.reach)
        rows.append(row)
    return {
        "study": study.name,
        "title": study.title,
        "metrics": study.metrics,
        "reach": study.reach,
        "seeds": study.seeds,
        "runs": rows,
    }


def table_of(study: Study, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Give the report as rows of text, the heading first; every seed is shown, none is left out."""
    heading = ["run", "parameters", *(x for metric in study.metrics for x in (metric, "mean"))]
    if study.reach:
        heading.append(f"steps to {study.reach:.0%} of it")
    rows = [heading]
    for one in outcomes:
        row = [one.label, f"{one.parameters / 1e6:.2f} M"]
        for metric in study.metrics:
            row.append("  ".join(_rounded(value) for value in one.finals(metric)))
            row.append(_rounded(one.mean(metric)))
        if study.reach:
            row.append("  ".join(f"{step:,}" for step in one.steps_to(study.metrics[0], study.reach)))
        rows.append(row)
    return rows


def as_markdown(study: Study, outcomes: Sequence[Outcome]) -> str:
    """Give the final values as a table for documents: the mean of the seeds, and their range."""
    rows = [["run", "parameters", *study.metrics], ["---"] * (2 + len(study.metrics))]
    for one in outcomes:
        row = [one.label, f"{one.parameters:,}"]
        for metric in study.metrics:
            low, high = (_rounded(x) for x in (min(one.finals(metric)), max(one.finals(metric))))
            row.append(f"{_rounded(one.mean(metric))} ({low} to {high})")
        rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def draw_study(study: Study, outcomes: Sequence[Outcome]) -> Figure:
    """Draw each metric against the step, or the final values where runs were validated at their end alone."""
    once = all(len(curve) == 1 for one in outcomes for curves in one.curves.values() for curve in curves)
    return _draw_finals(study, outcomes) if once else _draw_curves(study, outcomes)


def _draw_finals(study: Study, outcomes: Sequence[Outcome]) -> Figure:
    """Draw a panel a metric and a row a run: seeds as dots, their mean as a stroke."""
    metrics = study.metrics
    size = (2.2 + 2.1 * len(metrics), 1.6 + 0.3 * len(outcomes))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(axes, metrics, strict=True):
        ax.axvline(outcomes[0].mean(metric), color="0.75", linewidth=1, zorder=0)
        for row, one in enumerate(outcomes):
            finals = one.finals(metric)
            ax.plot(finals, [row] * len(finals), "o", color="C0", markersize=4, alpha=0.6)
            ax.plot([one.mean(metric)], [row], "|", color="C3", markersize=12, markeredgewidth=2)
        ax.set_xlabel(metric, fontsize="small")
        ax.grid(alpha=0.3)
    axes[0].set_yticks(range(len(outcomes)), [one.label for one in outcomes])
    axes[0].invert_yaxis()
    figure.suptitle(
        "\n".join([*textwrap.wrap(study.title, 30 * len(metrics)), _seeds_of(study, "each and mean")])
    )
    return figure


def _draw_curves(study: Study, outcomes: Sequence[Outcome]) -> Figure:
    """Draw each metric against the step: the mean of the seeds as a line, all of them as a band."""
    panels = len(study.metrics)
    figure = Figure(figsize=(8 if panels == 1 else 5.5 * panels, 5.5), dpi=110, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    colours = {one.name: f"C{i % 10}" for i, one in enumerate(outcomes)}  # in the order of the study
    for one in sorted(outcomes, key=lambda one: -one.mean(study.metrics[0])):
        label = f"{one.label}: {', '.join(_rounded(one.mean(metric)) for metric in study.metrics)}"
        style = dict(color=colours[one.name], marker="o", markersize=3, linewidth=1.6)
        for ax, metric in zip(axes, study.metrics, strict=True):
            steps = [step for step, _ in one.curves[metric][0]]
            values = np.array([[value for _, value in curve] for curve in one.curves[metric]])
            ax.plot(steps, values.mean(axis=0), label=label, **style)
            if len(values) > 1:
                low, high = values.min(axis=0), values.max(axis=0)
                ax.fill_between(steps, low, high, alpha=0.15, color=style["color"])
    for ax, metric in zip(axes, study.metrics, strict=True):
        ax.set(xlabel="step", ylabel=metric)
        ax.grid(alpha=0.3)
    figure.suptitle("\n".join([*textwrap.wrap(study.title, 80), _seeds_of(study, "mean and range")]))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, title="mean at the end")
    return figure


def _seeds_of(study: Study, shown: str) -> str:
    """Say what of the seeds a figure shows."""
    return f"({len(study.seeds)} seeds: {shown})" if len(study.seeds) > 1 else f"(seed {study.seeds[0]})"


def _rounded(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
