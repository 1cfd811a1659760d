"""Report of one run: what it was, curves, pictures, results of classes, errors, and what happened."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.config.config_files import typed_command
from mmvisionllama.evaluation.saved_predictions import PREDICTIONS, SavedPredictions
from mmvisionllama.files import from_here
from mmvisionllama.reports.progress import clock
from mmvisionllama.run_reports.comparison import best_and_last, fact, number, speed, state, with_direction
from mmvisionllama.run_reports.curve_figures import curve_gallery, curves_of, shown_curves
from mmvisionllama.run_reports.error_analysis import Errors, class_section
from mmvisionllama.run_reports.happenings import happenings
from mmvisionllama.run_reports.pages import Block, Code, Fold, Page, Picture, Section, Table, Text
from mmvisionllama.run_reports.ranked_images import worst_and_best
from mmvisionllama.run_reports.work_directory import Run, config_file, typed_config

_PICTURES = {
    "predictions.png": "what the last validation or test predicted",
    "confusion.png": "confusion of the last test",
    "precision_recall.png": "precision and recall of the last test",
}
_CURVES = ("curves_by_step.png", "curves_by_time.png")
_OF_GENERATOR = {"predictions.png": "samples of the last validation"}


def report(run: Run, saved: SavedPredictions | None = None, errors: Errors | None = None) -> Page:
    """Put everything of a run on a page.

    Args:
        saved, errors: Predictions of its model, and what is wrong with them.
    """
    sections = [
        Section("What it was", [_facts(run)]),
        Section("Results", _results(run)),
        Section("Curves", _curves(run)),
        Section("Schedule and speed", list(_schedule(run))),
        *_pictures(run),
        *_classes(run, errors),
        *_errors(run, saved, errors),
        Section("What happened", list(happenings(run))),
        *_config(run),
    ]
    return Page(run.name, f"{(run.task or 'training').capitalize()}: {state(run)}.", sections)


def _facts(run: Run) -> Table:
    summary = run.summary
    config = summary.get("config") or {}
    forked = summary.get("forked_from") or {}
    facts = {
        "config": config.get("file") or config.get("name"),
        "command": summary.get("command"),
        "folder": from_here(run.folder),
        "run": summary.get("run_id"),
        "forked from": forked.get("checkpoint"),
        "task": run.task,
        "model": fact(run, "model") or (run.config.get("model") or {}).get("type"),
        "parameters": summary.get("parameters"),
        "data": fact(run, "data"),
        "batch": fact(run, "batch"),
        "optimizer": fact(run, "rate"),
        "length": fact(run, "length"),
        "took": None if summary.get("seconds") is None else clock(summary["seconds"]),
        "seed": summary.get("seed"),
        "commit": summary.get("commit"),
        "hardware": summary.get("hardware") or fact(run, "device"),
        "processes": summary.get("world_size"),
        "best checkpoint": summary.get("best_checkpoint"),
        "last checkpoint": summary.get("last_checkpoint"),
        "versions": ", ".join(f"{name} {x}" for name, x in (summary.get("versions") or {}).items()),
    }
    rows = [[name, _text(x)] for name, x in facts.items() if x not in (None, "")]
    return Table(["", ""], rows)


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _results(run: Run) -> list[Block]:
    if not run.validated:
        return [Text("Nothing was validated so far.")]
    rows = [
        [with_direction(name), best_and_last([run], name)[0], f"{curve.steps[-1]:,}", f"{len(curve.steps):,}"]
        for name, curve in run.validated.items()
    ]
    table = Table(["metric", "best and last", "last step", "validations"], rows, numbers=True)
    watched = run.summary.get("best_step")
    told = "" if watched is None else f" The best checkpoint is that of step {watched:,}."
    return [table, Text(f"Where the last value is not the best, both are there.{told}")]


def _curves(run: Run) -> list[Block]:
    names = shown_curves(list(curves_of(run)))
    if not names:
        return [Text("Nothing was logged so far.")]
    blocks: list[Block] = [curve_gallery([run], names, _CURVES)]
    loss = run.curves.get("loss")
    if loss is not None and (bad := loss.not_finite()):
        blocks.append(Text(f"{bad:,} logged losses were NaN or infinite: dotted vertical lines."))
    return blocks


def _schedule(run: Run) -> Iterator[Block]:
    schedulers = run.config.get("param_scheduler") or []
    schedulers = [schedulers] if isinstance(schedulers, Mapping) else schedulers
    rows = []
    for scheduler in schedulers if isinstance(schedulers, list) else ():
        others = {key: x for key, x in scheduler.items() if key not in ("type", "begin", "end", "by_epoch")}
        unit = "epochs" if scheduler.get("by_epoch", True) else "steps"
        span = f"{scheduler.get('begin', 0)} to {scheduler.get('end', 'the end')} {unit}"
        rows.append([str(scheduler.get("type")), span, ", ".join(f"{k} = {x}" for k, x in others.items())])
    if rows:
        yield Table(["schedule", "when", "settings"], rows)
    rate = run.curves.get("base_lr") or run.curves.get("lr")
    if rate is not None:
        yield Text(f"Learning rate: at most {number(float(rate.values.max()))}, last {number(rate.last())}.")
    yield from speed([run])


def _pictures(run: Run) -> Iterator[Section]:
    told = {**_PICTURES, **(_OF_GENERATOR if run.task == "generation" else {})}
    found = [Picture(name, file.read_bytes(), x) for name, x in told.items() if (file := run.picture(name))]
    if found:
        yield Section("Pictures", found)


def _classes(run: Run, errors: Errors | None) -> list[Section]:
    """Return results of each class: those of the predictions, else of the best or the last validation."""
    if errors is not None and (found := errors.class_results()):
        return class_section(found, "Of the saved predictions.")
    for which, step in (("best_classes", "best_step"), ("last_classes", "last_step")):
        found, at = run.summary.get(which), run.summary.get(step)
        if found and at is not None:
            return class_section(found, f"Of the validation after step {at:,}.")
    return []


def _errors(run: Run, saved: SavedPredictions | None, errors: Errors | None) -> Iterator[Section]:
    if saved is None or errors is None:
        yield Section("Worst and best images", list(_how_to_predict(run)))
        return
    yield Section(
        "Worst and best images",
        [Text(f"{_whose(run, saved)} {errors.legend}"), *worst_and_best(errors.ranked())],
    )
    yield from errors.sections()


def _whose(run: Run, saved: SavedPredictions) -> str:
    whose = saved.facts.get("checkpoint")
    if not whose:
        return f"{len(saved.images):,} images; which checkpoint predicted them is not known."
    is_own = Path(whose).parent.resolve() == run.folder.resolve()
    return f"{len(saved.images):,} images, predicted by {whose}" + (
        "." if is_own else ", which is not in this folder."
    )


def _how_to_predict(run: Run) -> Iterator[Block]:
    if run.task == "generation":
        yield Text("A generator has no true images that its samples could be compared with one by one.")
        return
    if run.task is None:
        yield Text("No predictions are saved, and the config does not tell the task of the model.")
        return
    checkpoint = run.summary.get("best_checkpoint") or run.summary.get("last_checkpoint")
    config = typed_config(run.folder, run.summary)
    if config is None or checkpoint is None:
        yield Text("No predictions are saved, and there is no checkpoint so far that could make them.")
        return
    here = run.folder / Path(checkpoint).name
    test = [*typed_command("test"), from_here(config), from_here(here) if here.exists() else checkpoint]
    again = ["mmvisionllama", "report", from_here(run.folder)]
    yield Text("No predictions are saved. These commands save them, and show them here:")
    yield Code(
        f"{shlex.join([*test, '--predictions', from_here(run.folder / PREDICTIONS)])}\n{shlex.join(again)}"
    )


def _config(run: Run) -> Iterator[Section]:
    origins = sorted(run.folder.glob("*_origins.txt"))
    file = config_file(run.folder, run.summary, run.sessions)
    blocks: list[Block] = []
    if origins:
        blocks.append(Fold("Every value, and where it comes from", origins[-1].read_text(errors="replace")))
    if file is not None:
        blocks.append(Fold("The resolved config", file.read_text(errors="replace")))
    if blocks:
        yield Section("Config", blocks)
