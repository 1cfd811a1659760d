"""What the trainings of a study reached, side by side."""

import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mmvisionllama.study.plan import Study
from mmvisionllama.study.running import Job, StudyError


@dataclass(frozen=True)
class Outcome:
    """What one run reached, over its seeds.

    Attributes:
        curves: For each seed the (step, metric) of every validation.
        seconds: Of each training, also what came before a resume.
    """

    name: str
    label: str
    parameters: int
    seeds: tuple[int, ...]
    curves: tuple[tuple[tuple[int, float], ...], ...]
    seconds: tuple[float, ...]

    @property
    def finals(self) -> tuple[float, ...]:
        """The last validation of each seed."""
        return tuple(curve[-1][1] for curve in self.curves)

    def steps_to(self, share: float) -> tuple[int, ...]:
        """Give each seed's first validated step with ``share`` of its own final value."""
        return tuple(
            next(step for step, value in curve if value >= share * curve[-1][1]) for curve in self.curves
        )


def collect(study: Study, jobs: Sequence[Job]) -> list[Outcome]:
    """Read what the compared trainings left.

    Raises:
        StudyError: if a training did not measure the study's metric.
    """
    outcomes = []
    for run in (run for run in study.runs if run.compared):
        mine = [job for job in jobs if job.run is run]
        facts = [job.summary() for job in mine]
        curves = []
        for job, summary in zip(mine, facts, strict=True):
            curve = [
                (x["step"], x["metrics"][study.metric])
                for x in summary["validations"]
                if study.metric in x["metrics"]
            ]
            if not curve:
                measured = sorted({name for x in summary["validations"] for name in x["metrics"]})
                raise StudyError(f"{job.name} did not measure {study.metric!r}, but {measured}")
            curves.append(tuple(curve))
        seconds = tuple(summary["seconds"] for summary in facts)
        outcomes.append(
            Outcome(run.name, run.label, facts[0]["parameters"], study.seeds, tuple(curves), seconds)
        )
    return outcomes


def as_facts(study: Study, outcomes: Sequence[Outcome]) -> dict:
    """Give everything that a report says, for JSON."""
    rows = []
    for one in outcomes:
        row = {**vars(one), "final": one.finals, "final_mean": statistics.mean(one.finals)}
        if study.reach:
            row["steps_to_reach"] = one.steps_to(study.reach)
        rows.append(row)
    return {
        "study": study.name,
        "title": study.title,
        "metric": study.metric,
        "reach": study.reach,
        "seeds": study.seeds,
        "runs": rows,
    }


def table_of(study: Study, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Give the report as rows of text, the heading first; every seed is shown, none is left out."""
    heading = ["run", "parameters", study.metric, "mean"]
    if study.reach:
        heading.append(f"steps to {study.reach:.0%} of it")
    rows = [heading]
    for one in outcomes:
        finals = "  ".join(f"{value:.1f}" for value in one.finals)
        row = [one.label, f"{one.parameters / 1e6:.2f} M", finals, f"{statistics.mean(one.finals):.1f}"]
        if study.reach:
            row.append("  ".join(f"{step:,}" for step in one.steps_to(study.reach)))
        rows.append(row)
    return rows


def draw_study(study: Study, outcomes: Sequence[Outcome]) -> Figure:
    """Draw the metric against the step: the mean of the seeds as a line, all of them as a band."""
    figure = Figure(figsize=(8, 5.5), dpi=110, layout="constrained")
    ax = figure.subplots()
    colours = {one.name: f"C{i % 10}" for i, one in enumerate(outcomes)}  # by the study, whoever is ahead
    for one in sorted(outcomes, key=lambda one: -statistics.mean(one.finals)):
        steps = [step for step, _ in one.curves[0]]
        values = np.array([[value for _, value in curve] for curve in one.curves])
        label = f"{one.label}: {values[:, -1].mean():.1f}"
        style = dict(color=colours[one.name], marker="o", markersize=3, linewidth=1.6)
        ax.plot(steps, values.mean(axis=0), label=label, **style)
        if len(values) > 1:
            ax.fill_between(steps, values.min(axis=0), values.max(axis=0), alpha=0.15, color=style["color"])
    seeds = f"{len(study.seeds)} seeds: mean and range" if len(study.seeds) > 1 else f"seed {study.seeds[0]}"
    title = "\n".join([*textwrap.wrap(study.title, 80), f"({seeds})"])
    ax.set(title=title, xlabel="step", ylabel=study.metric)
    ax.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, title="mean at the end")
    return figure
