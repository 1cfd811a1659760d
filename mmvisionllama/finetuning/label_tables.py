"""Read CSV tables of file and label."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mmvisionllama.datasets.image_files import EXTENSIONS
from mmvisionllama.errors import DataError
from mmvisionllama.files import why_no_file
from mmvisionllama.finetuning.found_data import PARTS, FoundData, Sample, has_image, subfolders
from mmvisionllama.suggestions import shortened

_TABLES = (".csv", ".tsv")
_FILE = ("file", "filename", "file_name", "image", "image_path", "path", "img", "image_id", "id", "name")
_LABEL = ("label", "class", "class_name", "category", "target", "species", "label_name")
_PART = ("split", "set", "subset", "part", "fold")


def has_label_table(root: Path) -> bool:
    """Whether ``root`` is a table, or a folder with one (``labels.csv``) or several (``train.csv``, ...).

    Beside two folders of images or more, which are classes, a table says something else of the images.
    """
    if not _tables(root):
        return False
    return root.is_file() or sum(x.name not in PARTS and has_image(x) for x in subfolders(root)) < 2


def read_label_tables(root: Path) -> FoundData:
    """Read tables of file and label, with a header or without; a column ``split`` may name parts.

    Files are named from the folder of the table, or from ``images``, ``train``, ... in it; their ending may
    be missing.

    Raises: DataError: for a table without these columns, or with files that do not exist.
    """
    folder = root.parent if root.is_file() else root
    parts: dict[str, list[Sample]] = {}
    notes = []
    for table in _tables(root):
        rows = list(_rows(table))
        samples = [(part, _image(folder, name), name, label) for name, label, part in rows]
        missing = [name for _, image, name, _ in samples if image is None]
        if missing:
            raise DataError(
                f"{table}: {len(missing):,} of {len(rows):,} files do not exist in {folder} or its folder "
                f"images: {shortened(missing)}"
            )
        if unlabelled := sum(not label for *_, label in samples):
            notes.append(f"{table.name}: {unlabelled:,} of {len(rows):,} rows have no label: left out")
        for part, image, _, label in samples:
            if label:
                parts.setdefault(part, []).append(Sample(image, label))
        notes += _named_twice(table, [name for name, _, _ in rows])
    if not parts.get("train"):
        raise DataError(f"{root}: no row is for training; parts are named {', '.join(PARTS)}")
    classes = sorted({x.label for x in parts["train"]}, key=_natural)
    for part, samples in parts.items():
        if unknown := sorted({x.label for x in samples} - set(classes), key=_natural):
            raise DataError(
                f"{root}: the part {part} has classes without training rows: {shortened(unknown)}"
            )
    if len(classes) < 2:
        raise DataError(f"{root}: all {len(parts['train']):,} rows are of one class, {classes[0]!r}")
    ordered = {part: tuple(parts[part]) for part in ("train", "val", "test") if part in parts}
    return FoundData("table of files and labels", folder, ordered, tuple(classes), tuple(notes))


def _tables(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix.lower() in _TABLES else []
    found = sorted(x for x in root.iterdir() if x.suffix.lower() in _TABLES and x.is_file())
    by_part = [x for x in found if x.stem.lower() in PARTS]
    if any(PARTS[x.stem.lower()] == "train" for x in by_part):
        return by_part
    named = [x for x in found if x.stem.lower() in ("labels", "annotations", "metadata", "data")]
    return named[:1] or (found if len(found) == 1 else [])


def _rows(table: Path) -> Iterator[tuple[str, str, str]]:
    """Yield file, label and part of every row."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{table} cannot be read: {error}") from error
    separator = "\t" if table.suffix.lower() == ".tsv" else ";" if text.count(";") > text.count(",") else ","
    lines = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(x.strip() for x in row)]
    if not lines:
        raise DataError(f"{table} is empty")
    header = [x.strip().lower() for x in lines[0]]
    places = [next((header.index(x) for x in names if x in header), None) for names in (_FILE, _LABEL, _PART)]
    if places[0] is not None and places[1] is not None:
        lines = lines[1:]
    elif len(header) == 2 and Path(header[0]).suffix in EXTENSIONS:
        places = [0, 1, None]
    else:
        raise DataError(
            f"{table} has the columns {shortened(header)}; needed are one of {', '.join(_FILE)} and one of "
            f"{', '.join(_LABEL)}"
        )
    default = PARTS.get(table.stem.lower(), "train")
    for number, row in enumerate(lines, 2):
        if len(row) <= max(x for x in places if x is not None):
            raise DataError(f"{table}, row {number}: {len(row)} columns, the header has {len(header)}")
        name, label = (row[place].strip() for place in places[:2])
        given = default if places[2] is None else row[places[2]].strip().lower()
        if given not in PARTS:
            raise DataError(f"{table}, row {number}: part {given!r}; parts are {', '.join(PARTS)}")
        yield name, label, PARTS[given]


def _image(folder: Path, name: str) -> Path | None:
    for place in (folder, folder / "images", *(folder / x for x in PARTS)):
        for ending in ("", *EXTENSIONS):
            path = place / f"{name}{ending}"
            if name and why_no_file(path) is None:
                return path
    return None


def _named_twice(table: Path, names: list[str]) -> list[str]:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    return [f"{table.name} names {len(twice):,} files more than once: {shortened(twice)}"] if twice else []


def _natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """Order numbers in names by their value: 2 before 10."""
    return tuple((0, int(x)) if x.isdigit() else (1, x) for x in re.split(r"(\d+)", text) if x)
