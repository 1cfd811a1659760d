"""The zoo: a file of published models and their table in the documents, kept by ``publish``."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmvisionllama.checkpoint.released.names import RELEASED
from mmvisionllama.checkpoint.released.public import PUBLIC
from mmvisionllama.config.config_files import checkout
from mmvisionllama.errors import InputError
from mmvisionllama.files import atomic_path, read_json, write_json
from mmvisionllama.inference.published_files import LOG

BEGIN, END = "<!-- zoo: written by publish --zoo -->", "<!-- end of zoo -->"
_HEAD = ("name", "task", "data", "files", "result", "which is", "SHA-256")
_HEAD_OF_PUBLIC = ("name", "`--family`", "licence", "result, published")
_DIGITS = 16  # of a hash, in the table; the file has all


@dataclass(frozen=True, kw_only=True)
class Row:
    """A published model.

    Attributes:
        name: Of the model; there is one row of a name.
        config: Of its training, by its path below ``configs/`` if it is shipped.
        metrics: Of these weights.
        measured_by: What gave them.
        folder: Of the published files, from the checkout if it lies in it, else its name.
        log: Whether ``training.jsonl`` lies in it.
        sha256: Of ``model.safetensors``.
    """

    name: str
    task: str
    data: str | None
    config: str | None
    metrics: Mapping[str, float]
    measured_by: str
    folder: str
    log: bool
    sha256: str


def rows_in(zoo: Path) -> list[Row]:
    """Return the rows of a zoo's file, none if there is no file.

    Raises: InputError: for a file that is no zoo.
    """
    if not zoo.is_file():
        return []
    try:
        return [Row(name=name, **x) for name, x in read_json(zoo).items()]
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"--zoo {zoo}: no file that publish --zoo has written: {error}") from error


def require_zoo(zoo: Path) -> None:
    """Require what ``enter`` will need: a JSON file or none, and beside it no table or one with its place.

    Raises: InputError: for anything else, before any work.
    """
    if zoo.suffix != ".json":
        raise InputError(f"--zoo {zoo}: give a .json file, e.g. {zoo.with_suffix('.json')}")
    rows_in(zoo)
    page = zoo.with_suffix(".md")
    if page.is_file() and not _has_place(page.read_text()):
        raise InputError(
            f"--zoo {zoo}: {page} has no place for the table; put in two lines, {BEGIN} and {END}"
        )


def enter(zoo: Path, row: Row) -> None:
    """Put a row into a zoo, in the place of one of its name, and into the table in the page beside it."""
    rows = sorted([x for x in rows_in(zoo) if x.name != row.name] + [row], key=lambda x: x.name)
    write_json(zoo, {x.name: {key: y for key, y in asdict(x).items() if key != "name"} for x in rows})
    page = zoo.with_suffix(".md")
    if page.is_file():
        text = with_table(page.read_text(), rows, page)
        with atomic_path(page) as temporary:
            temporary.write_text(text)


def with_table(text: str, rows: Sequence[Row], page: Path) -> str:
    """Return a page's text with the table of these rows, and of the weights that the authors released."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{_table(rows, page.absolute())}\n\n{END}{rest.partition(END)[2]}"


def _table(rows: Sequence[Row], page: Path) -> str:
    lines = [_line(_HEAD), _line(("---",) * len(_HEAD))]
    for row in rows:
        numbers = "<br>".join(f"{name} {value:g}" for name, value in row.metrics.items()) or "none"
        links = {"config": row.config, "log": f"{row.folder}/{LOG}" if row.log else None}
        files = ", ".join(_link(name, path, page) for name, path in links.items() if path)
        cells = (
            row.task,
            row.data or "not known",
            files,
            numbers,
            _told(row),
            f"`{row.sha256[:_DIGITS]}...`",
        )
        lines.append(_line((f"`{row.name}`", *cells)))
    for name, release in RELEASED.items():
        task = "reconstruction" if release.family == "mae" else "classification"
        config = _link("config", release.config, page)
        cells = (
            task,
            "ImageNet-1K",
            config,
            release.published,
            "published by the authors",
            "none",
            "not known",
        )
        lines.append(_line((f"`{name}`", *cells)))
    return "\n".join(lines)


def table_of_public() -> str:
    """Return the table of public weights of other rotary transformers; a name leads to their page."""
    lines = [_line(_HEAD_OF_PUBLIC), _line(("---",) * len(_HEAD_OF_PUBLIC))]
    for name, public in PUBLIC.items():
        cells = (f"`{public.family}`", public.licence, public.published or "see there")
        lines.append(_line((f"[`{name}`]({public.address})", *cells)))
    return "\n".join(lines)


def _told(row: Row) -> str:
    if not row.metrics:
        return "not measured"
    own = row.config is not None and row.measured_by == f"test of {Path(row.config).stem}"
    return f"measured here: {'test of its config' if own else row.measured_by}"


def _link(text: str, path: str, page: Path) -> str:
    """Return a link to a file of this checkout from a page in it, or else the path alone."""
    root = checkout()
    if root is None or not page.is_relative_to(root) or not (root / path).is_file():
        return f"`{path}`"
    return f"[{text}]({os.path.relpath(root / path, page.parent)})"


def _has_place(text: str) -> bool:
    return text.count(BEGIN) == text.count(END) == 1 and text.index(BEGIN) < text.index(END)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
