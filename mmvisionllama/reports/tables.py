"""Tables on the screen: metrics of an evaluation, results of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmvisionllama.files import plain_float
from mmvisionllama.reports.naming import class_name

_MOST_ROWS = 30


def scalars_of(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the metrics that are single numbers."""
    return {name: plain_float(x) for name, x in (metrics or {}).items() if np.ndim(x) == 0}


def metrics_table(title: str, columns: Mapping[str, Mapping[str, float]]) -> RenderableType:
    """Return a table with a title and a row for every metric.

    Args:
        columns: Heading -> metrics, e.g. those of the last and of the best validation.
    """
    table = Table("", *columns, box=SIMPLE_HEAD, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(name for metrics in columns.values() for name in metrics):
        table.add_row(name, *(_number(metrics.get(name)) for metrics in columns.values()))
    return Group(Text(title, style="bold"), table)


def class_table(
    title: str, classes: Sequence[str] | None, columns: Mapping[str, Sequence[float]]
) -> RenderableType:
    """Return a table with a row for every class; of many classes the first column alone, side by side.

    Args:
        classes: Their names, None where they have none.
        columns: Heading -> result of each class in percent; NaN for a class that did not occur.
    """
    count = len(next(iter(columns.values())))
    names = [class_name(classes, i) for i in range(count)]
    if count <= _MOST_ROWS:
        rows = {heading: dict(zip(names, map(float, x), strict=True)) for heading, x in columns.items()}
        return metrics_table(title, rows)
    first, values = next(iter(columns.items()))
    cells = [f"{name} {_number(float(x))}" for name, x in zip(names, values, strict=True)]
    return Group(Text(f"{title}: {first}", style="bold"), Columns(cells, padding=(0, 3), column_first=True))


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 1 or not value else f"{value:.4f}"
