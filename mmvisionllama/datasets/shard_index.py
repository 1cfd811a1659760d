"""The index of a sharded data set: its parts, shards, classes, and where every sample lies.

A folder of shards holds ``index.json`` and, for each part, ``PART-000000.tar`` and so on and
``PART.safetensors``, a table with a row for each sample. All of it is data from anywhere: nothing of it is
used before it was held against its limits.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mmvisionllama import __version__
from mmvisionllama.datasets.shard_files import ShardPath
from mmvisionllama.errors import DataError
from mmvisionllama.files import atomic_path, read_json, sha256_of, why_no_file, write_json
from mmvisionllama.suggestions import shortened

INDEX = "index.json"
UNFINISHED = "unfinished.json"  # is there for as long as shards are written
FORMAT = 1  # raise it when older readers would misunderstand an index
UNLABELLED = -1
_NAME = re.compile(r"[^/\0]{1,200}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COLUMNS = {
    "shard": np.int32,
    "offset": np.int64,
    "size": np.int64,
    "label": np.int32,
    "name_end": np.int64,
    "names": np.uint8,
}
_ROW = ("shard", "offset", "size", "label", "name_start", "name_end")


@dataclass(frozen=True)
class FileFacts:
    """What a file of the data set is: its name in the folder, bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """A part of a data set, e.g. ``train``.

    Attributes:
        samples: How many there are.
        table: The file with a row for each of them.
        shards: In the order in which the table counts them.
        left_out: Names of images that could not be read, and why.
    """

    samples: int
    table: FileFacts
    shards: tuple[FileFacts, ...]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Index:
    """What ``index.json`` says.

    Attributes:
        classes: In the order of their labels; empty where nobody has named them.
        parts: By name.
        made_from: What the shards were made from, and how.
    """

    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    made_from: Mapping[str, Any]

    def part(self, name: str, folder: str | Path) -> Part:
        """Return a part by its name; without one the only part there is.

        Raises: DataError: if there is none of this name, or no name and several parts.
        """
        if not name and len(self.parts) == 1:
            return next(iter(self.parts.values()))
        if name not in self.parts:
            known = ", ".join(map(repr, self.parts))
            asked = f"no part {name!r}" if name else "several parts"
            raise DataError(f"{folder} has {asked}; set split to one of {known}")
        return self.parts[name]


class Samples(Sequence):
    """The samples of a part as arrays, which processes share; each is a dict when it is asked for.

    Args:
        folder: Where the shards lie.
        shards: Their names.
        columns: Of the table: ``shard``, ``offset``, ``size``, ``label``, and ``name_start`` and ``name_end``
            in ``names``, the bytes of all names.
    """

    def __init__(self, folder: str, shards: Sequence[str], columns: Mapping[str, NDArray]) -> None:
        self.folder, self.shards, self.columns = folder, tuple(shards), dict(columns)

    @property
    def labels(self) -> NDArray[np.int32]:
        """(N,) labels; -1 for none."""
        return self.columns["label"]

    def without_labels(self) -> "Samples":
        """Return the same samples without their labels."""
        columns = {**self.columns, "label": np.full_like(self.labels, UNLABELLED)}
        return Samples(self.folder, self.shards, columns)

    def __len__(self) -> int:
        return len(self.columns["shard"])

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: int | slice) -> "dict[str, Any] | Samples":
        if isinstance(index, slice):
            rows = {key: x if key == "names" else x[index] for key, x in self.columns.items()}
            return Samples(self.folder, self.shards, rows)
        shard, offset, size, label, start, end = (self.columns[key][index].item() for key in _ROW)
        return self._sample(shard, offset, size, label, self.columns["names"][start:end].tobytes())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rows = zip(*(self.columns[key].tolist() for key in _ROW), strict=True)
        names = self.columns["names"].tobytes()
        for shard, offset, size, label, start, end in rows:
            yield self._sample(shard, offset, size, label, names[start:end])

    def _sample(self, shard: int, offset: int, size: int, label: int, name: bytes) -> dict[str, Any]:
        path = ShardPath(f"{self.folder}/{self.shards[shard]}", offset, size, name.decode(errors="replace"))
        sample: dict[str, Any] = {"img_path": str(path)}
        return sample if label == UNLABELLED else {**sample, "gt_label": label}


def read_index(folder: str | Path) -> Index:
    """Read the index of a folder of shards.

    Raises:
        DataError: if it is missing, damaged, or of a newer version; the text says what the folder is and what
            to do.
    """
    path = Path(folder, INDEX)
    if not path.exists():
        raise DataError(_without_index(Path(folder)))
    try:
        content = read_json(path)
        number = content.get("format") if isinstance(content, dict) else None
        if type(number) is int and number > FORMAT:
            raise DataError(
                f"{path} has format {number}, mmvisionllama {__version__} reads {FORMAT}: install the "
                "version that made it, or a newer one"
            )
        return _index_of(content)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}. {_anew(Path(folder))}") from error


def _index_of(content: dict[str, Any]) -> Index:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']!r} is none")
    classes, parts = content["classes"], content["parts"]
    if not isinstance(classes, list) or not all(isinstance(x, str) for x in classes):
        raise ValueError("classes is no list of names")
    if not isinstance(parts, dict) or not parts:
        raise ValueError("parts is no object with a part")
    return Index(tuple(classes), {name: _part_of(x) for name, x in parts.items()}, dict(content["made_from"]))


def _part_of(content: dict[str, Any]) -> Part:
    shards = tuple(map(_facts_of, content["shards"]))
    if len({x.name for x in shards}) < len(shards) or not all(x.name.endswith(".tar") for x in shards):
        raise ValueError("shards have the same name, or one that does not end in .tar")
    left_out = {str(name): str(reason) for name, reason in content["left_out"].items()}
    return Part(_whole(content["samples"]), _facts_of(content["table"]), shards, left_out)


def _facts_of(content: dict[str, Any]) -> FileFacts:
    name, size, sha256 = content["name"], _whole(content["size"]), content["sha256"]
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(f"{name!r:.100} is no name of a file in the folder")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"{name} has no SHA-256")
    return FileFacts(name, size, sha256)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f"{value!r:.50} is no number of things or bytes")
    return value


def read_samples(folder: str | Path, part: Part, classes: Sequence[str] = ()) -> Samples:
    """Read the table of a part, and hold it against the shards that are there.

    Args:
        classes: Of the data set; no label may go beyond them.

    Raises:
        DataError: if the table or a shard is missing, or of another size or content than the index says.
    """
    path = Path(folder, part.table.name)
    if problem := changed(Path(folder), part.table, content=True):
        raise DataError(f"{problem}. {_anew(Path(folder))}")
    if lacking := [x for shard in part.shards if (x := changed(Path(folder), shard))]:
        raise DataError(
            f"{len(lacking):,} of {len(part.shards):,} shards are not what {INDEX} says: "
            f"{shortened(lacking)}. Copy them anew from where they were made, or make them again"
        )
    try:
        columns = {key: _column(x, key) for key, x in load_file(path).items()}
        return Samples(str(folder), [x.name for x in part.shards], _held(columns, part, classes))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}. {_anew(Path(folder))}") from error


def _column(values: NDArray, key: str) -> NDArray:
    if values.ndim != 1 or values.dtype != _COLUMNS[key]:
        raise ValueError(f"{key} is {values.dtype} of {values.ndim} dimensions")
    return values


def _held(columns: dict[str, NDArray], part: Part, classes: Sequence[str]) -> dict[str, NDArray]:
    """Return the columns with ``name_start`` if no row leads out of a shard, the names or the classes."""
    shard, offset, size, label, end = (columns[key] for key in _COLUMNS if key != "names")
    if {len(x) for x in (shard, offset, size, label, end)} != {part.samples}:
        raise ValueError(f"its columns do not have {part.samples:,} rows each")
    if len(shard) and (shard.min() < 0 or shard.max() >= len(part.shards)):
        raise ValueError(f"it names a shard beyond the {len(part.shards):,}")
    room = np.array([x.size for x in part.shards], np.int64)[shard] - offset
    if np.any((offset < 0) | (size <= 0) | (size > room)):
        raise ValueError("a sample begins or ends outside of its shard")
    start = np.concatenate([np.zeros(1, np.int64), end[:-1]])[: len(end)]
    if np.any(end < start) or (len(end) and end[-1] > len(columns["names"])):
        raise ValueError("its names end before they begin")
    if len(label) and (label.min() < UNLABELLED or (classes and label.max() >= len(classes))):
        raise ValueError(f"labels go from {label.min()} to {label.max()}, of {len(classes)} classes")
    if len(label) and label.min() == UNLABELLED != label.max():
        raise ValueError("some samples have a label and some have none")
    return {**columns, "name_start": start}


def changed(folder: Path, facts: FileFacts, *, content: bool = False) -> str | None:
    """Say in what a file is not what the index says; None if it is.

    Args:
        content: Read it, and compare the SHA-256.
    """
    path = folder / facts.name
    if problem := why_no_file(path):
        return f"{path} is {problem}"
    if (size := path.stat().st_size) != facts.size:
        return f"{path} has {size:,} bytes instead of {facts.size:,}"
    if content and sha256_of(path) != facts.sha256:
        return f"{path} has other bytes than when it was made"
    return None


def write_table(folder: Path, name: str, columns: Mapping[str, NDArray], names: Sequence[str]) -> FileFacts:
    """Write the table of a part, and return what it is.

    Args:
        columns: ``shard``, ``offset``, ``size`` and ``label`` of each sample.
        names: Of each sample.
    """
    encoded = [x.encode(errors="replace") for x in names]
    table = {
        key: np.ascontiguousarray(columns[key], kind) for key, kind in _COLUMNS.items() if key in columns
    }
    table["name_end"] = np.cumsum([len(x) for x in encoded], dtype=np.int64)
    table["names"] = np.frombuffer(b"".join(encoded), np.uint8)
    path = folder / f"{name}.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(table))  # `save_file` would make a file for its owner alone
    return FileFacts(path.name, path.stat().st_size, sha256_of(path))


def write_index(folder: Path, index: Index) -> None:
    """Write ``index.json``, which makes the data set complete."""
    parts = {
        name: {
            "samples": part.samples,
            "table": vars(part.table),
            "shards": [vars(x) for x in part.shards],
            "left_out": dict(part.left_out),
        }
        for name, part in index.parts.items()
    }
    content = {"format": FORMAT, "written_by": f"mmvisionllama {__version__}", "classes": list(index.classes)}
    write_json(folder / INDEX, {**content, "parts": parts, "made_from": index.made_from})


def _without_index(folder: Path) -> str:
    """Say what a folder is that has no index, and what makes one."""
    if not folder.is_dir():
        return f"{folder} does not exist, or is no folder"
    if (folder / UNFINISHED).exists():
        return f"{folder} is not finished: the mmvisionllama shard command that began it goes on"
    endings = {"".join(x.suffixes[-2:]).lower() for x in folder.iterdir() if x.is_file()}
    if any(x.endswith(".tar") for x in endings):
        return f"{folder} holds tar files and no {INDEX}; make it: mmvisionllama shard --index-only {folder}"
    if any(x.endswith((".tar.gz", ".tgz", ".tar.zst", ".tar.xz")) for x in endings):
        return f"{folder} holds compressed tar files, in which no image can be reached by itself: unpack them"
    if any(x.is_dir() and not x.name.startswith(".") for x in folder.iterdir()):
        return (
            f"{folder} holds folders and no {INDEX}; where they are images, make shards of them: "
            f"mmvisionllama shard {folder} --out {folder}_shards"
        )
    return f"{folder} holds no shards (no {INDEX})"


def _anew(folder: Path) -> str:
    return (
        f"Remove {folder / INDEX}, and make it again: by the command that made the shards, or of shards of "
        f"others by mmvisionllama shard --index-only {folder}"
    )
