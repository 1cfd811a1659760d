"""Tables and figures of the paper: rows, chains of trainings, evaluations and published values."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from mmvisionllama.config.config_files import configs_folder
from mmvisionllama.config.variables import read_chain
from mmvisionllama.errors import ReproductionError
from mmvisionllama.suggestions import did_you_mean, refusal

_KEYS = ("source", "columns", "evaluate", "rows")
_ROW_KEYS = ("label", "chain", "evaluate", "published", "note")
_PER_CENT = "coco/"  # mmdet's shares, of which the paper prints per cent


@dataclass(frozen=True)
class Evaluation:
    """How the end of a chain is measured.

    Attributes:
        kind: ``test``: by the config's test section; ``samples``: samples against ADM's reference batch;
            ``sweep``: at several image sizes; ``curve``: nothing is run, the training's log is read.
        sampler: Type and options, as ``tools/sample.sh --sampler`` takes them.
        guidance: Scale; 1 is none.
        at: Iteration of the checkpoint; None: the last one.
        positions: Kind of positions, as ``tools/resolution_sweep.py --positions`` takes it.
    """

    kind: Literal["test", "samples", "sweep", "curve"]
    sampler: tuple[str, ...] = ()
    steps: int | None = None
    guidance: float | None = None
    at: int | None = None
    cfg_options: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    positions: str | None = None

    def __str__(self) -> str:
        if self.kind == "sweep":
            return f"evaluate at {', '.join(self.sizes)} px with {self.positions}"
        if self.kind == "samples":
            steps = f", {self.steps} steps" if self.steps else ""
            at = f" at iteration {self.at:,}" if self.at else ""
            how = " ".join(
                (f"{' '.join(self.sampler)}{steps}, guidance {self.guidance:g}", *self.cfg_options)
            )
            return f"50,000 samples{at} by {how}; score"
        return {"test": "test", "curve": "read the losses"}[self.kind]


@dataclass(frozen=True)
class Branch:
    """Trainings, each from the last checkpoint of the one before, and the evaluation of the last one.

    Attributes:
        name: Empty where a row has one branch.
        trainings: Config files, relative to the repository.
    """

    name: str
    trainings: tuple[str, ...]
    evaluation: Evaluation

    def __str__(self) -> str:
        stems = [str(Path(x).relative_to("configs").with_suffix("")) for x in self.trainings]
        return " -> ".join([*stems, str(self.evaluation)])


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        branch: That measures it.
        metric: As the evaluation calls it; None: published alone, nothing here measures it.
    """

    name: str
    branch: str
    metric: str | None

    @property
    def factor(self) -> float:
        """What a measured value is multiplied with to be in the paper's unit."""
        if self.metric == "parameters":
            return 1e-6
        return 100.0 if self.metric and self.metric.startswith(_PER_CENT) else 1.0


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        branches: Empty for a baseline that nobody ships: published numbers alone.
        published: A value for each column, None where the paper prints none.
    """

    name: str
    label: str
    branches: tuple[Branch, ...]
    published: tuple[float | None, ...]
    note: str | None = None


@dataclass(frozen=True)
class Table:
    """A table or a figure of the paper."""

    name: str
    title: str
    source: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """Return the row of this name.

        Raises: ReproductionError: if there is none, or if it is published alone.
        """
        rows = {row.name: row for row in self.rows}
        if name not in rows:
            raise ReproductionError(
                f"{self.name} has no row {name!r}.{did_you_mean(name, rows)} It has {', '.join(rows)}"
            )
        if not rows[name].branches:
            runnable = [x.name for x in self.rows if x.branches]
            raise ReproductionError(
                f"{self.name}, row {name!r} is published alone: nobody ships {rows[name].label}. "
                f"Rows with a chain: {', '.join(runnable)}"
            )
        return rows[name]


def table_names() -> list[str]:
    """Return the names of all tables, then of all figures."""
    names = [path.stem for path in (configs_folder() / "reproduce").glob("*.py")]
    return sorted(names, key=lambda name: (not name.startswith("table"), len(name), name))


def trainings() -> list[str]:
    """Return the configs of all trainings of all tables."""
    rows = [row for name in table_names() for row in load_table(name).rows]
    return sorted({config for row in rows for branch in row.branches for config in branch.trainings})


@cache
def load_table(name: str) -> Table:
    """Read a table.

    Raises: ReproductionError: if there is no such table, or if its file says something else.
    """
    names = table_names()
    if name not in names:
        raise ReproductionError(f"no table {name!r}.{did_you_mean(name, names)} There are {', '.join(names)}")
    file = configs_folder() / "reproduce" / f"{name}.py"
    content = {key: x for key, x in Config.fromfile(file).to_dict().items() if not key.startswith("_")}
    _require(str(file), content, _KEYS)
    columns = tuple(_column(name, text) for name, text in content["columns"].items())
    rows = []
    for key, entry in content["rows"].items():
        place = f"{file}: rows.{key}"
        _require(place, entry, _ROW_KEYS)
        if len(entry["published"]) != len(columns):
            raise ReproductionError(f"{place}: {len(entry['published'])} values for {len(columns)} columns")
        evaluations = _evaluations(place, entry.get("evaluate") or content.get("evaluate") or {})
        row = Row(
            key,
            entry["label"],
            tuple(_branches(place, entry.get("chain"), evaluations)),
            tuple(entry["published"]),
            entry.get("note"),
        )
        rows.append(row)
        if released := _as_released(row):
            rows.append(released)
    title = (ast.get_docstring(read_chain(file)[file]) or name).splitlines()[0].rstrip(".")
    return Table(name, title, content["source"], columns, tuple(rows))


def _require(place: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    if message := refusal(place, given, allowed):
        raise ReproductionError(message)


def _column(name: str, text: str | None) -> Column:
    branch, colon, metric = (text or "").partition(":")
    return Column(name, branch, metric) if colon else Column(name, "", text)


def _evaluations(place: str, entry: dict[str, Any]) -> dict[str, Evaluation]:
    allowed = tuple(field.name for field in fields(Evaluation))
    found = {}
    for branch, options in ({"": entry} if "kind" in entry else entry).items():
        _require(f"{place}: evaluate", options, allowed)
        values = {key: tuple(x) if isinstance(x, (list, tuple)) else x for key, x in options.items()}
        found[branch] = Evaluation(**values)
    return found


def _branches(place: str, chain: Any, evaluations: dict[str, Evaluation]) -> Iterator[Branch]:
    if chain is None:
        return
    for name, evaluation in evaluations.items():
        stems = chain[name] if isinstance(chain, dict) else chain
        trainings = tuple(f"configs/{stem}.py" for stem in stems)
        if missing := [x for x in trainings if not _is_shipped(x)]:
            raise ReproductionError(f"{place}: no config {', '.join(missing)}")
        yield Branch(name, trainings, evaluation)


def _as_released(row: Row) -> Row | None:
    """Return the row with the configs called ``_released`` in place of their siblings, if any is."""
    branches = [replace(x, trainings=tuple(map(_released_sibling, x.trainings))) for x in row.branches]
    if tuple(branches) == row.branches:
        return None
    label = f"{row.label}, as the released code trains it"
    return replace(row, name=f"{row.name}_released", label=label, branches=tuple(branches), note=None)


def _released_sibling(config: str) -> str:
    # The release trains the first stage of size L at 128 px, not at 160, and the file says so.
    sibling = config.replace("visionllama_large_in1k_pre160.py", "visionllama_large_in1k_pre128.py")
    sibling = f"{sibling.removesuffix('.py')}_released.py"
    return sibling if _is_shipped(sibling) else config


def _is_shipped(config: str) -> bool:
    return configs_folder().joinpath(config.removeprefix("configs/")).is_file()
