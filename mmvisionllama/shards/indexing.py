"""Index tar files that others have written in WebDataset's layout: files with one key are a sample."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np

from mmvisionllama.datasets.image_files import EXTENSIONS
from mmvisionllama.datasets.shard_index import (
    INDEX,
    UNFINISHED,
    UNLABELLED,
    FileFacts,
    Index,
    Part,
    write_index,
    write_table,
)
from mmvisionllama.errors import DataError, LaunchError
from mmvisionllama.files import sha256_of
from mmvisionllama.reports.progress import progress
from mmvisionllama.shards.tar_members import Member, members_of, read_member

_KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)  # as webdataset has it: up to the first dot
_SHARD = re.compile(r"(.+?)[-_.]?\d*\.tar")
_LONGEST_LABEL = 64 * 1024  # bytes of a JSON file


@dataclass(frozen=True)
class FoundSample:
    """A sample in a shard: where its image lies, and its label, -1 for none."""

    image: Member
    label: int


def index_shards(folder: Path, *, classes: tuple[str, ...] = (), workers: int = 8) -> Index:
    """Write the index of the tar files in a folder, which stay as they are.

    Numbers at the end of their names are those of shards: ``train-000000.tar`` belongs to the part ``train``.
    The label of a sample is in ``KEY.cls``, or in ``KEY.json`` under ``label`` or ``cls``.

    Args:
        classes: Names of the classes, in the order of the labels.
        workers: Tar files that are read at the same time, for their SHA-256.

    Raises:
        LaunchError: if the folder has an index already.
        DataError: if a tar file is damaged, or has no images, or labels that are none.
    """
    parts: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("*.tar")):
        if not path.name.startswith("."):
            parts[_SHARD.fullmatch(path.name)[1]].append(path)
    if not parts:
        raise DataError(f"{folder} has no file *.tar; compressed ones must be unpacked")
    for name in (INDEX, UNFINISHED):
        if (folder / name).exists():
            raise LaunchError(f"{folder} has {name} already: remove it first, if another one is to be made")
    found = {}
    for name, paths in parts.items():
        with progress(f"{name}: tar files", len(paths)) as advance, ThreadPool(workers) as pool:
            shards = []
            for facts, samples in pool.imap(_read, paths):
                shards.append((facts, samples))
                advance(1)
        found[name] = shards
    _require_labels(folder, found, classes)
    index = Index(
        classes,
        {name: _part(folder, name, shards) for name, shards in found.items()},
        {"source": str(folder.absolute()), "indexed": True},
    )
    write_index(folder, index)
    return index


def _read(path: Path) -> tuple[FileFacts, list[FoundSample]]:
    samples = list(samples_of(path, members_of(path)))
    return FileFacts(path.name, path.stat().st_size, sha256_of(path)), samples


def samples_of(path: Path, members: Sequence[Member]) -> Iterator[FoundSample]:
    """Group the files of a tar file by their key, and yield those groups that have an image.

    Raises: DataError: for a label that is none, and for keys that occur twice.
    """
    groups: dict[str, dict[str, Member]] = defaultdict(dict)
    for member in members:
        if (found := _KEY.fullmatch(member.name)) is None:
            continue
        key, suffix = found[1], f".{found[2].lower()}"
        if suffix in groups[key]:
            raise DataError(f"{path} has {member.name!r:.200} twice")
        groups[key][suffix] = member
    for files in groups.values():
        image = next((files[x] for x in EXTENSIONS if x in files), None)
        if image is not None and image.size > 0:
            yield FoundSample(image, _label(path, files))


def _label(path: Path, files: dict[str, Member]) -> int:
    member = files.get(".cls") or files.get(".json")
    if member is None:
        return UNLABELLED
    content = read_member(path, member) if member.size <= _LONGEST_LABEL else b""
    try:
        value = json.loads(content)
        if isinstance(value, dict):
            value = value.get("label", value.get("cls", UNLABELLED))
            if value == UNLABELLED:
                return UNLABELLED
        if type(value) is not int or not 0 <= value < 2**31:
            raise ValueError("no label")
    except (ValueError, RecursionError) as error:
        shown = content[:40].decode(errors="replace")
        raise DataError(
            f"{path}: {member.name!r:.200} holds {shown!r}, and not a label: 0, 1, ... Where images have no "
            "classes, make tar files without it"
        ) from error
    return value


def _require_labels(
    folder: Path, found: dict[str, list[tuple[FileFacts, list[FoundSample]]]], classes: Sequence[str]
) -> None:
    for name, shards in found.items():
        labels = [x.label for _, samples in shards for x in samples]
        if not labels:
            raise DataError(
                f"{folder}: part {name} has no image ({' '.join(EXTENSIONS)}); the ending of a file is what "
                "follows the first dot of its name"
            )
        if min(labels) == UNLABELLED != max(labels):
            count = labels.count(UNLABELLED)
            raise DataError(f"{folder}: {count:,} of {len(labels):,} samples of part {name} have no label")
        if classes and max(labels) >= len(classes):
            raise DataError(
                f"{folder}: part {name} has label {max(labels)}, and there are {len(classes)} classes"
            )


def _part(folder: Path, name: str, shards: Sequence[tuple[FileFacts, Sequence[FoundSample]]]) -> Part:
    rows = [(number, sample) for number, (_, samples) in enumerate(shards) for sample in samples]
    columns = {
        "shard": np.array([number for number, _ in rows]),
        "offset": np.array([x.image.offset for _, x in rows]),
        "size": np.array([x.image.size for _, x in rows]),
        "label": np.array([x.label for _, x in rows]),
    }
    names = [x.image.name.lstrip("/") for _, x in rows]
    return Part(len(rows), write_table(folder, name, columns, names), tuple(facts for facts, _ in shards), {})
