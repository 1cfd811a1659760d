"""Values and colours in masks: which class each means, and label maps of 0, 1, ... where they are none."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.cityscapes_tree import all_ids, label_of_id
from mmvisionllama.finetuning.found_data import FoundData
from mmvisionllama.suggestions import shortened

IGNORED = 255  # of a label map: the pixel counts for nothing
_LOOKED_AT = 2_000  # masks whose values decide what they mean
_INDEX_MODES = ("L", "P", "1")
_NUMBER_MODES = (*_INDEX_MODES, "I", "I;16", "I;16B", "I;16L")
_GREY_LEVELS = 32  # classes are counted up from 0; levels of grey are spread to this one and beyond
_CLASS_FILES = (
    "classes.csv",
    "class_dict.csv",
    "label_colors.txt",
    "labelmap.txt",
    "classes.txt",
    "labels.txt",
    "class_names.txt",
)
Key = int | tuple[int, int, int]  # a value of a mask of numbers, or a colour


@dataclass(frozen=True)
class ClassTable:
    """Names of classes, and the value or colour that masks have for each, where the file says so."""

    names: tuple[str, ...]
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class LabelMaps:
    """What the values in masks mean.

    Attributes:
        classes: In the order of their labels.
        labels: Value or colour -> label, or ``IGNORED``.
        as_they_are: Whether the masks are label maps already.
    """

    classes: tuple[str, ...]
    labels: Mapping[Key, int]
    as_they_are: bool
    notes: tuple[str, ...] = ()

    def of(self, path: Path) -> NDArray[np.uint8]:
        """Return the label map of a mask, (height, width).

        Raises: DataError: for a value or colour that means nothing, naming the file.
        """
        _, mask = _read(path)
        flat = mask.reshape(-1, mask.shape[2]) if mask.ndim == 3 else mask.reshape(-1)
        found, places = np.unique(flat, axis=0, return_inverse=True)
        keys = [tuple(map(int, x)) if mask.ndim == 3 else int(x) for x in found]
        if mask.ndim == 3 and self.labels and isinstance(next(iter(self.labels)), int):
            keys = [x[0] for x in keys]  # grey, as R = G = B
        if unknown := [x for x in keys if x not in self.labels]:
            raise DataError(
                f"{path} has {shortened([str(x) for x in unknown])}, which no class has; give --classes a "
                "file with a line NAME,VALUE or NAME,R,G,B for each class"
            )
        return np.array([self.labels[x] for x in keys], np.uint8)[places.reshape(-1)].reshape(mask.shape[:2])


def read_class_table(given: Path | None, root: Path) -> ClassTable | None:
    """Read names of classes, and values or colours, from ``given`` or a file of a usual name in ``root``.

    A line is ``NAME``, ``NAME,VALUE``, ``NAME,R,G,B``, CamVid's ``R G B NAME`` or CVAT's ``NAME:R,G,B::``.

    Raises: DataError: for a file that cannot be read, or lines of several kinds.
    """
    file = given or next((root / x for x in _CLASS_FILES if (root / x).is_file()), None)
    if file is None:
        return None
    try:
        lines = [x.strip() for x in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    rows = [_row(x) for x in lines if x and not x.startswith("#")]
    if rows and len({len(numbers) for _, numbers in rows[1:]}) == 1 and len(rows[0][1]) < len(rows[1][1]):
        rows = rows[1:]  # a header
    kinds = {len(numbers) for _, numbers in rows}
    if len(kinds) != 1 or kinds - {0, 1, 3}:
        raise DataError(f"{file}: every line must be NAME, or NAME,VALUE, or NAME,R,G,B, all of one kind")
    names = tuple(name for name, _ in rows)
    keys = tuple(numbers[0] if len(numbers) == 1 else tuple(numbers) for _, numbers in rows if numbers)
    for what, values in (("name", names), ("value or colour", keys)):
        if twice := [str(x) for x, count in Counter(values).items() if count > 1]:
            raise DataError(f"{file} has a {what} more than once: {shortened(twice)}")
    return ClassTable(names, keys)


def understand_masks(found: FoundData, table: ClassTable | None, ignore: int | None = None) -> LabelMaps:
    """Find out what the values in masks mean.

    Whole numbers from 0 are labels. Of other numbers, as 0 and 255, each is a class, in their order. Colours
    need a table.

    Args:
        ignore: The value of pixels that count for nothing; None: 255, unless it must be a class.

    Raises: DataError: for colours without a table, masks of one value, or files that are no masks.
    """
    if found.classes:
        return _of_cityscapes(found)
    masks = [sample.label for samples in found.parts.values() for sample in samples]
    step = max(len(masks) // _LOOKED_AT, 1)
    looked_at = masks[::step]
    counts, modes = _values(looked_at)
    coloured = [x for x in counts if isinstance(x, tuple)]
    if coloured and all(len(set(x)) == 1 for x in coloured):
        counts = Counter({x[0] if isinstance(x, tuple) else x: n for x, n in counts.items()})
        coloured = []
    if coloured:
        return _of_colours(coloured, table, looked_at[0])
    values = sorted(counts)
    return _of_numbers(
        values, table, ignore, plain=modes <= {*_INDEX_MODES} and "1" not in modes, modes=modes
    )


def _of_cityscapes(found: FoundData) -> LabelMaps:
    if "labelTrainIds" in found.layout:
        labels = {label: label for label in range(len(found.classes))} | {IGNORED: IGNORED}
        return LabelMaps(found.classes, labels, as_they_are=True)
    labels = {x: IGNORED if (label := label_of_id(x)) is None else label for x in all_ids()}
    notes = ("label maps of the 19 evaluated classes are written",)
    return LabelMaps(found.classes, labels | {IGNORED: IGNORED}, as_they_are=False, notes=notes)


def _of_colours(colours: Sequence[tuple[int, int, int]], table: ClassTable | None, first: Path) -> LabelMaps:
    if table is None or not table.keys or isinstance(table.keys[0], int):
        lines = "".join(f"\n  NAME,{r},{g},{b}" for r, g, b in sorted(colours)[:12])
        more = f"\n  ... ({len(colours) - 12} more)" if len(colours) > 12 else ""
        raise DataError(
            f"the masks are coloured (first {first.name}, {len(colours)} colours): save which class each "
            f"colour is, one a line, and give the file by --classes FILE:{lines}{more}"
        )
    labels = {key: label for label, key in enumerate(table.keys)}
    notes = ["masks are coloured: label maps of the table's classes are written"]
    return LabelMaps(table.names, labels, as_they_are=False, notes=tuple(notes))


def _of_numbers(
    values: Sequence[int], table: ClassTable | None, ignore: int | None, *, plain: bool, modes: Iterable[str]
) -> LabelMaps:
    void = IGNORED if ignore is None else ignore
    if table is not None and table.keys:
        if not isinstance(table.keys[0], int):
            raise DataError("--classes has colours, but the masks hold numbers: give NAME,VALUE")
        classes, wanted = table.names, list(table.keys)
    else:
        wanted, classes = _classes_of(values, table, void, "P" in modes)
    labels = {value: label for label, value in enumerate(wanted)}
    if void not in labels:
        labels[void] = IGNORED
    if unknown := [x for x in values if x not in labels]:
        raise DataError(
            f"masks hold {shortened([str(x) for x in unknown])}, beyond the {len(classes)} classes "
            f"({shortened(classes)}); name them by --classes, or leave one value out by --ignore-label"
        )
    same = plain and all(label == value for value, label in labels.items() if value in values)
    notes = []
    if not same:
        told = ", ".join(f"{v} -> {'ignored' if n == IGNORED else n}" for v, n in sorted(labels.items()))
        notes.append(f"values of masks become labels: {shortened(told.split(', '))}")
    elif void in values:
        notes.append(f"pixels of label {void} count for nothing")
    if empty := [name for name, value in zip(classes, wanted, strict=True) if value not in values]:
        notes.append(f"no pixel that was looked at is of: {shortened(empty)}")
    return LabelMaps(tuple(classes), labels, as_they_are=same, notes=tuple(notes))


def _classes_of(
    values: Sequence[int], table: ClassTable | None, void: int, palette: bool
) -> tuple[list[int], Sequence[str]]:
    """Return the values that are classes, and their names."""
    known = [x for x in values if x != void]
    if table is not None and set(known) <= set(range(len(table.names))):
        return list(range(len(table.names))), table.names
    spread = bool(known) and known != list(range(len(known))) and known[-1] >= _GREY_LEVELS
    if not palette and void == IGNORED and void in values and (len(known) == 1 or spread):
        known = list(values)  # levels of grey, white among them
    if len(known) < 2:
        raise DataError(
            f"the masks hold {' and '.join(map(str, values))} alone; a segmentation needs two classes"
        )
    if table is not None:
        if len(table.names) != len(known):
            raise DataError(
                f"--classes names {len(table.names)} classes, the masks hold {len(known)} values: "
                f"{shortened([str(x) for x in known])}"
            )
        return known, table.names
    if known == [0, IGNORED]:
        return known, ("background", "foreground")
    return known, [f"label {x}" for x in known]


def written_maps(
    found: FoundData, maps: LabelMaps, folder: Path, final: Path
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Write label maps where masks are none, or where a data set of mmseg could not pair them by their names.

    Returns: What the data set takes, and the lines of the annotation file of each part.
    """
    root = found.root
    options = _by_names(found) if maps.as_they_are else None
    if options is not None:
        cut = len(options["img_suffix"])
        names = {
            part: [x.image.relative_to(options["data_prefix"]["img_path"]).as_posix()[:-cut] for x in samples]
            for part, samples in found.parts.items()
        }
        return options, names
    lines: dict[str, list[str]] = {}
    for part, samples in found.parts.items():
        for sample in samples:
            name = sample.image.relative_to(root).as_posix()
            target = folder / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(maps.of(sample.label)).save(target)
            lines.setdefault(part, []).append(name)
    prefix = dict(img_path=str(root), seg_map_path=str(final))
    return dict(data_prefix=prefix, img_suffix="", seg_map_suffix=".png"), lines


def _by_names(found: FoundData) -> dict[str, Any] | None:
    """Return folders and endings from which mmseg pairs all images and masks, None if there are none."""
    samples = [x for part in found.parts.values() for x in part]
    images, masks = _common([x.image for x in samples]), _common([x.label for x in samples])
    pairs = [(x.image.relative_to(images).as_posix(), x.label.relative_to(masks).as_posix()) for x in samples]
    shared = len(_shared_start(*(x.removesuffix(Path(x).suffix) for x in pairs[0])))
    endings = pairs[0][0][shared:], pairs[0][1][shared:]
    if not all(endings) or any(
        not a.endswith(endings[0]) or a[: -len(endings[0])] + endings[1] != b for a, b in pairs
    ):
        return None
    return dict(
        data_prefix=dict(img_path=str(images), seg_map_path=str(masks)),
        img_suffix=endings[0],
        seg_map_suffix=endings[1],
    )


def _common(paths: Sequence[Path]) -> Path:
    parents = [x.parent for x in paths]
    common = parents[0]
    while not all(x.is_relative_to(common) for x in parents):
        common = common.parent
    return common


def _shared_start(one: str, other: str) -> str:
    count = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return one[:count]


def _values(masks: Sequence[Path]) -> tuple[Counter[Key], set[str]]:
    """Return the values or colours in masks with the number of masks that have them, and Pillow's modes."""
    counts: Counter[Key] = Counter()
    modes = set()
    for path in masks:
        mode, mask = _read(path)
        modes.add(mode)
        if mask.ndim == 3:
            colours = np.unique(mask.reshape(-1, 3), axis=0)
            counts.update(tuple(map(int, x)) for x in colours)
        else:
            counts.update(map(int, np.unique(mask)))
    return counts, modes


def _read(path: Path) -> tuple[str, NDArray]:
    """Return Pillow's mode of a mask, and its numbers (height, width) or colours (height, width, 3)."""
    try:
        with Image.open(path) as image:
            if image.format == "JPEG":
                raise DataError(f"{path}: a mask in a JPEG file has lost its values; save masks as PNG")
            if image.mode in _NUMBER_MODES:
                return image.mode, np.asarray(image).astype(np.int64)
            return image.mode, np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the mask {path} cannot be read: {error}") from error


def _row(line: str) -> tuple[str, list[int]]:
    """Return the name and the numbers in a line of a class table."""
    if re.fullmatch(r"(\d+\s+){1,3}\S.*", line):
        *numbers, name = re.fullmatch(r"((?:\d+\s+)+)(\S.*)", line).groups()
        return name.strip(), [int(x) for x in numbers[0].split()]
    if ":" in line and re.fullmatch(r"[^:]+:\d+,\d+,\d+:.*", line):
        name, numbers, *_ = line.split(":")
        return name.strip(), [int(x) for x in numbers.split(",")]
    name, *rest = (x.strip() for x in next(csv.reader([line])))
    numbers = [int(x) for x in rest if x.isdigit()]
    return name, numbers if len(numbers) == len([x for x in rest if x]) else []
