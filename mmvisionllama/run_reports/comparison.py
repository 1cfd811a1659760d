"""Comparison of runs: curves over one another, metrics, differences of configs, hardware, versions, speed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mmvisionllama.reports.progress import clock
from mmvisionllama.run_reports.curve_figures import curve_gallery, curves_of, shared_curves, shown_curves
from mmvisionllama.run_reports.logged_curves import Curve, is_greater_better
from mmvisionllama.run_reports.pages import (
    Block,
    Cell,
    Items,
    Page,
    Section,
    Strong,
    Table,
    Text,
)
from mmvisionllama.run_reports.work_directory import Run

PICTURES = ("comparison_by_step.png", "comparison_by_time.png")
FILES = ("comparison.html", "comparison.md", *PICTURES)
_MISSING = "not there"
_LONGEST = 300  # characters of a value of a config
_DOTS = {True: "greater is better", False: "smaller is better", None: "which way is better is not known"}
_PLACES = ("work_dir", "experiment_name")  # where a run writes, which is no setting


def compare(runs: Sequence[Run]) -> Page:
    """Put everything that tells runs apart on a page."""
    names = " and ".join(x.name for x in runs) if len(runs) < 4 else f"{len(runs)} runs"
    tasks = list(dict.fromkeys(x.task or "a task that the config does not tell" for x in runs))
    lead = f"Comparison of {len(runs)} runs, {' and '.join(tasks)}"
    sections = [
        Section("Runs", _runs(runs)),
        Section("Metrics", list(_metrics(runs))),
        Section("Curves", list(_curves(runs, tasks))),
        Section("Speed", speed(runs)),
        Section("Config", list(_config(runs))),
        Section("Hardware and versions", list(_versions(runs))),
    ]
    return Page(names, f"{lead}.", sections)


def comparison_files(page: Page) -> dict[str, str | bytes]:
    """Return the files of a comparison by name: HTML, Markdown, and the picture of the curves."""
    pictures = {x.name: x.content for x in page.pictures()}
    return {FILES[0]: page.as_html(), FILES[1]: page.as_markdown(), **pictures}


def best_and_last(runs: Sequence[Run], metric: str) -> list[Cell]:
    """Return a cell for each run: the last value, and the best with its step; the best of all stands out."""
    greater = is_greater_better(metric)
    curves = [run.validated.get(metric) for run in runs]
    best = [None if curve is None or greater is None else curve.best(greater=greater) for curve in curves]
    values = [x[1] for x in best if x is not None]
    top = None if len(values) < 2 else (max if greater else min)(values)
    return [
        _value_cell(curve, found, is_top=found is not None and found[1] == top)
        for curve, found in zip(curves, best, strict=True)
    ]


def _value_cell(curve: Curve | None, best: tuple[int, float] | None, *, is_top: bool) -> Cell:
    if curve is None:
        return "-"
    last = number(curve.last())
    if best is None:
        return last
    text = f"{number(best[1])} at {best[0]:,}; last {last}" if best[0] != curve.steps[-1] else last
    return Strong(text) if is_top else text


def number(value: float) -> str:
    """Return a number with four digits."""
    return f"{value:.4g}"


def state(run: Run) -> str:
    """Say how a run stands."""
    planned = run.summary.get("planned_steps")
    steps = f"{run.steps or 0:,}" + (f" of {planned:,} steps" if planned else " steps")
    why = f": {run.summary['error']}" if run.summary.get("error") else ""
    return f"{run.status}, {steps}{why}"


def _runs(runs: Sequence[Run]) -> list[Block]:
    facts: dict[str, Callable[[Run], Any]] = {
        "state": state,
        "task": lambda run: run.task,
        "model": lambda run: fact(run, "model"),
        "parameters": lambda run: _count(run.summary.get("parameters")),
        "data": lambda run: fact(run, "data"),
        "seed": lambda run: run.summary.get("seed"),
        "starts": lambda run: len(run.sessions) or None,
        "begun": lambda run: run.sessions[0].began if run.sessions else None,
        "folder": lambda run: str(run.folder),
        "run": lambda run: (run.summary.get("run_id") or "")[:8],
    }
    return [_table(runs, facts)]


def fact(run: Run, name: str) -> str | None:
    """Return what the log of the last start says about the model, the data, the device, ..."""
    told = [x.facts[name] for x in run.sessions if name in x.facts]
    return told[-1] if told else None


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _table(runs: Sequence[Run], facts: dict[str, Callable[[Run], Any]]) -> Table:
    rows = []
    for name, tell in facts.items():
        values = [tell(run) for run in runs]
        if any(x not in (None, "") for x in values):
            rows.append([name, *("-" if x in (None, "") else str(x) for x in values)])
    return Table(["", *(run.name for run in runs)] if len(runs) > 1 else ["", ""], rows)


def _metrics(runs: Sequence[Run]) -> Iterator[Block]:
    names = list(dict.fromkeys(name for run in runs for name in run.validated))
    if not names:
        yield Text("No run has validated yet.")
        return
    rows = [[with_direction(name), *best_and_last(runs, name)] for name in names]
    yield Text(
        "The best value of each run with its step, and the last one where that is another. The best of all "
        "runs stands out."
    )
    yield Table(["metric", *(run.name for run in runs)], rows, numbers=True)
    without = [run.name for run in runs if not run.validated]
    if without:
        yield Text(f"Without validation so far: {', '.join(without)}.")


def with_direction(metric: str) -> str:
    """Return the name of a metric with an arrow that says which way is better."""
    greater = is_greater_better(metric)
    return f"{metric} ({_DOTS[greater]})" if greater is None else f"{metric} {'↑' if greater else '↓'}"


def _curves(runs: Sequence[Run], tasks: Sequence[str]) -> Iterator[Block]:
    shared, others = shared_curves(runs)
    if len(tasks) > 1:
        yield Text(f"These runs are of different tasks ({', '.join(tasks)}): only what they share is drawn.")
    if empty := [run.name for run in runs if not curves_of(run)]:
        yield Text(f"Nothing was logged so far of {', '.join(empty)}.")
    shown = shown_curves(shared)
    if shown:
        yield curve_gallery(runs, shown, PICTURES)
        yield Text(
            "Times are those of training steps as they were logged: what is done between two steps, as "
            "saving, counts to the next one; the batches of a validation, and pauses between a stop and a "
            "resume, do not count. Steps that were made again after a resume are drawn once, as they "
            "were made last. Dotted vertical lines are values that were not finite."
        )
    else:
        yield Text("No curve is shared by two of these runs.")
    if left := [name for name in shared if name not in shown]:
        yield Text(f"Not drawn, but in the table of metrics: {', '.join(left)}.")
    if others:
        yield Text(f"Of one run alone, so not drawn: {', '.join(others)}.")


def speed(runs: Sequence[Run]) -> list[Block]:
    """Return images per second, time of a step, and time of the whole training."""

    def images(run: Run) -> str | None:
        known = run.seconds_per_step and run.images_per_step
        return f"{run.images_per_step / run.seconds_per_step:,.1f}" if known else None

    def waiting(run: Run) -> str | None:
        time, data = run.curves.get("time"), run.curves.get("data_time")
        if time is None or data is None or not time.median():
            return None
        return f"{100 * data.median() / time.median():.0f}%"

    def whole(run: Run) -> str | None:
        seconds = run.summary.get("seconds")
        return None if seconds is None else clock(seconds)

    facts: dict[str, Callable[[Run], Any]] = {
        "images per step": lambda run: run.images_per_step,
        "seconds per step": lambda run: number(run.seconds_per_step) if run.seconds_per_step else None,
        "images per second": images,
        "share of a step that waits for data": waiting,
        "whole training, h:mm:ss": whole,
    }
    table = _table(runs, facts)
    told = "Medians of what was logged; the whole training counts validations and saving too."
    return [Table(table.head, table.rows, numbers=True), Text(told)] if table.rows else [Text("Not logged.")]


def _config(runs: Sequence[Run]) -> Iterator[Block]:
    without = [run.name for run in runs if not run.config]
    if without:
        yield Text(f"No resolved config was found of {', '.join(without)}.")
    known = [run for run in runs if run.config]
    rows = config_differences([run.settings for run in known])
    if len(known) > 1 and not rows:
        yield Text("The resolved configs say the same.")
    elif rows:
        yield Text(f"{len(rows)} values differ; all others are the same.")
        yield Table(["key", *(run.name for run in known)], rows)


def config_differences(each: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return key and values of every setting that is not the same in all configs, in their order."""
    keys = dict.fromkeys(key for settings in each for key in settings if key not in _PLACES)
    rows = [[key, *(_shown(settings, key) for settings in each)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def _shown(settings: dict[str, Any], key: str) -> str:
    if key not in settings:
        return _MISSING
    text = str(settings[key]) if isinstance(settings[key], str) else repr(settings[key])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"


def _versions(runs: Sequence[Run]) -> Iterator[Block]:
    yield _table(
        runs,
        {
            "hardware": lambda run: run.summary.get("hardware") or fact(run, "device"),
            "processes": lambda run: run.summary.get("world_size"),
            "commit": lambda run: run.summary.get("commit"),
        },
    )
    packages = dict.fromkeys(_packages(runs))
    rows = [[name, *(run.summary.get("versions", {}).get(name, "-") for run in runs)] for name in packages]
    same = [row for row in rows if len(set(row[1:])) == 1]
    if differing := [row for row in rows if row not in same]:
        yield Table(["versions that differ", *(run.name for run in runs)], differing)
    if same:
        yield Items([f"the same in all: {', '.join(f'{row[0]} {row[1]}' for row in same)}"])


def _packages(runs: Sequence[Run]) -> Iterable[str]:
    return (name for run in runs for name in run.summary.get("versions", {}))
