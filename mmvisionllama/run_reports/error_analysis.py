"""Analysis of the errors of saved predictions: a page and a file of numbers, for each task."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from mmvisionllama.evaluation.saved_predictions import SavedPredictions
from mmvisionllama.files import as_json
from mmvisionllama.reports.figures import class_bars
from mmvisionllama.run_reports.pages import Block, Page, Picture, Section, Table, Text
from mmvisionllama.run_reports.ranked_images import RankedImage, worst_and_best

FILES = ("errors.html", "errors.json")
_MOST_NAMED = 100
_MOST_PANELS = 3
Advance = Callable[[int], None]


class Errors(Protocol):
    """What an analysis of any task offers.

    Attributes:
        legend: By what the images are ordered, and what is drawn of them.
    """

    legend: str

    def facts(self) -> dict[str, object]:
        """Return its numbers."""

    def class_results(self) -> dict[str, dict[str, float]]:
        """Return name of a result -> class -> value in percent."""

    def ranked(self) -> list[RankedImage]:
        """Return all images, the worst first."""

    def sections(self) -> Iterator[Section]:
        """Yield the parts of a page that this task alone has."""


def analyse(saved: SavedPredictions, score_thr: float = 0.3, advance: Advance = lambda count: None) -> Errors:
    """Find the errors in saved predictions.

    Args:
        score_thr: Detections below it are not counted.
        advance: Called as the work goes on, ``amount_of_work`` times.
    """
    # Only what the task needs, as each brings libraries of its own.
    if saved.task == "classification":
        from mmvisionllama.run_reports.cls_errors import ClsErrors

        return ClsErrors(saved)
    if saved.task == "segmentation":
        from mmvisionllama.run_reports.seg_errors import SegErrors

        return SegErrors(saved, advance)
    if saved.task == "detection":
        from mmvisionllama.run_reports.det_errors import DetErrors

        return DetErrors(saved, score_thr, advance)
    from mmvisionllama.run_reports.mae_errors import MAEErrors

    return MAEErrors(saved)


def amount_of_work(saved: SavedPredictions) -> int:
    """Return how often ``analyse`` calls ``advance``; 0 where it takes no time."""
    if saved.task == "detection":
        from mmvisionllama.run_reports.det_errors import evaluations_of

        return evaluations_of(saved)
    return len(saved.images) if saved.task == "segmentation" else 0


def error_files(saved: SavedPredictions, errors: Errors) -> dict[str, str | bytes]:
    """Return the files of an analysis by name: a page, and all numbers."""
    numbers = {**saved.facts, **errors.facts(), "by class": errors.class_results()}
    return dict(zip(FILES, (error_page(saved, errors).as_html(), as_json(numbers)), strict=True))


def error_page(saved: SavedPredictions, errors: Errors) -> Page:
    """Put an analysis on a page."""
    config = Path(str(saved.facts.get("config") or saved.folder)).stem
    rows = [[name, f"{x:,}" if isinstance(x, int) else f"{x:.4g}"] for name, x in _numbers(errors)]
    known = [[key, str(saved.facts[key])] for key in ("checkpoint", "config") if saved.facts.get(key)]
    sections = [
        Section("In numbers", [Table(["", ""], rows + known), Text("Shares and scores are in percent.")]),
        *errors.sections(),
        *class_section(errors.class_results()),
        Section("Worst and best images", [Text(errors.legend), *worst_and_best(errors.ranked())]),
    ]
    return Page(f"Errors of {config}", f"{saved.task.capitalize()}, {len(saved.images):,} images.", sections)


def class_section(results: dict[str, dict[str, float]], source: str | None = None) -> list[Section]:
    """Return a part of a page with a bar for each class and result; nothing without classes."""
    if not results:
        return []
    told = f"{', '.join(list(results)[:_MOST_PANELS])} of each class, in percent"
    blocks: list[Block] = [Picture.drawn("classes.png", draw_classes(results), told)]
    blocks[:0] = [Text(source)] if source else []
    absent = [name for name, x in next(iter(results.values())).items() if not np.isfinite(_float(x))]
    if absent:
        blocks.append(Text(f"Did not occur: {', '.join(absent)}."))
    return [Section("Results of each class", blocks)]


def draw_classes(results: dict[str, dict[str, float]]) -> Figure:
    """Draw bars of each class, a panel for each of the first three results, in percent."""
    shown = dict(list(results.items())[:_MOST_PANELS])
    names = list(next(iter(shown.values())))
    height = float(np.clip(0.24 * len(names) + 1, 2.5, 16))
    figure = Figure(figsize=(1.5 + 3.2 * len(shown), height), dpi=100, layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for ax, (title, of_class) in zip(axes, shown.items(), strict=True):
        class_bars(ax, np.nan_to_num([_float(x) for x in of_class.values()]), f"{title}, %")
        ax.grid(alpha=0.3, axis="x")
    if len(names) <= _MOST_NAMED:
        axes[0].set_yticks(range(len(names)), names, fontsize="small" if len(names) <= 40 else "xx-small")
    return figure


def _float(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _numbers(errors: Errors) -> Iterator[tuple[str, int | float]]:
    return ((name, x) for name, x in errors.facts().items() if isinstance(x, (int, float)))
