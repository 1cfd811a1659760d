"""Write images into tar shards: shuffled by a seed, each shard whole or not at all, resumable."""

import io
import shutil
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.datasets.image_files import ended
from mmvisionllama.datasets.shard_index import (
    INDEX,
    UNFINISHED,
    UNLABELLED,
    FileFacts,
    Index,
    Part,
    read_index,
    write_index,
    write_table,
)
from mmvisionllama.errors import DataError, LaunchError
from mmvisionllama.files import atomic_path, sha256_of
from mmvisionllama.generation.component_facts import differences
from mmvisionllama.inference.output_folder import claim, require_own
from mmvisionllama.reports.progress import progress
from mmvisionllama.shards.source_images import SourceImages, SourcePart
from mmvisionllama.shards.tar_members import BLOCK, Member, members_of

_END = 20 * BLOCK  # tar files are filled up to a multiple of this
_KEY = 9  # figures of the number of a sample, which is its key
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Shard:
    """A shard to be written: the rows of its samples in their part, in the order in which they lie in it."""

    name: str
    rows: NDArray[np.int64]
    size: int


@dataclass
class LeftOut:
    """Images that cannot be read, by name; more than are allowed end the work.

    Attributes:
        most: That are allowed.
    """

    most: int
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, error: Exception) -> None:
        """Note an image.

        Raises: DataError: naming all that were found, if they are too many.
        """
        self.reasons[name] = f"{type(error).__name__}: {error}"
        if len(self.reasons) > self.most:
            files = "".join(f"\n  {x}: {reason}" for x, reason in sorted({**self.reasons}.items()))
            raise DataError(
                f"{len(self.reasons)} images cannot be read, at most {self.most} may be left out (of train "
                f"alone, --max-corrupt). Mend or remove them:{files}"
            )


def write_shards(
    source: SourceImages,
    out: Path,
    *,
    shard_bytes: int = 256_000_000,
    shard_samples: int = 10_000,
    seed: int = 0,
    max_corrupt: int = 0,
    workers: int = 8,
) -> Index | None:
    """Write the images of a tree as shards, and the index that makes them a data set.

    Files depend on the images and on ``shard_bytes``, ``shard_samples`` and ``seed`` alone. Shards that an
    earlier call has written are kept.

    Args:
        shard_bytes: At most, unless a single image has more.
        seed: Of the order in which samples lie in the shards.
        max_corrupt: Unreadable images of ``train`` that may be left out; of other parts none may.
        workers: Shards that are written at the same time.

    Returns: The index; None if ``out`` holds these shards already.

    Raises:
        LaunchError: if ``out`` holds anything else, or has no room; nothing is changed then.
        DataError: if more images cannot be read.
    """
    made_from: dict[str, Any] = {
        "source": str(source.root.absolute()),
        "images": {name: part.digest() for name, part in source.parts.items()},
        "classes": list(source.classes),
        "seed": seed,
        "shard_bytes": shard_bytes,
        "shard_samples": shard_samples,
        "max_corrupt": max_corrupt,
    }
    inside = [x.folder for x in source.parts.values() if out.absolute().is_relative_to(x.folder.absolute())]
    if inside:
        raise LaunchError(f"--out {out} lies among the images in {inside[0]}; choose a folder outside")
    if _is_complete(out, made_from):
        return None
    there = require_own(out, UNFINISHED, made_from, "shards", but=("source",))
    plans = {
        name: plan(part, name, seed=(seed, number), shard_bytes=shard_bytes, shard_samples=shard_samples)
        for number, (name, part) in enumerate(source.parts.items())
    }
    _require_room(out, sum(x.size for shards in plans.values() for x in shards if x.name not in there))
    claim(out, UNFINISHED, made_from)
    parts = {}
    for name, shards in plans.items():
        left_out = LeftOut(max_corrupt if name == "train" else 0)
        parts[name] = _written_part(source.parts[name], name, shards, out, left_out, workers)
    index = Index(source.classes, parts, made_from)
    write_index(out, index)
    (out / UNFINISHED).unlink()
    return index


def plan(
    part: SourcePart, name: str, *, seed: Sequence[int], shard_bytes: int, shard_samples: int
) -> list[Shard]:
    """Say which samples of a part go into which shard, and what each shard will have of bytes."""
    order = np.random.default_rng(seed).permutation(len(part.names))
    per_label = 0 if part.labels[0] == UNLABELLED else 2 * BLOCK
    sizes = BLOCK + -(-part.sizes[order] // BLOCK) * BLOCK + per_label
    shards: list[Shard] = []
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    start = 0
    while start < len(order):
        fits = int(np.searchsorted(ends, ends[start] + shard_bytes - _END, "right")) - 1
        stop = max(start + 1, min(fits, start + shard_samples, len(order)))
        size = -(-int(ends[stop] - ends[start] + 2 * BLOCK) // _END) * _END
        shards.append(Shard(f"{name}-{len(shards):06}.tar", order[start:stop], size))
        start = stop
    return shards


def _is_complete(out: Path, made_from: Mapping[str, Any]) -> bool:
    if not (out / INDEX).exists():
        return False
    known = read_index(out).made_from
    known, made_from = ({k: x for k, x in one.items() if k != "source"} for one in (known, made_from))
    if found := differences(known, made_from, ("there", "now")):
        raise LaunchError(
            f"--out {out} holds other shards: {'; '.join(found)}. Nothing was changed; choose another folder"
        )
    return True


def _require_room(out: Path, needed: int) -> None:
    place = next(x for x in (out.absolute(), *out.absolute().parents) if x.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise LaunchError(
            f"--out {out} needs {needed / 1e9:,.1f} GB more, and {free / 1e9:,.1f} GB are free. Nothing was "
            "written; make room, or choose another folder"
        )


def _written_part(
    part: SourcePart, name: str, shards: Sequence[Shard], out: Path, left_out: LeftOut, workers: int
) -> Part:
    """Write the shards of a part that are not there, and its table."""
    lock, stop = threading.Lock(), threading.Event()
    with progress(f"{name}: images", len(part.names)) as advance:

        def advance_by(count: int) -> None:
            with lock:
                advance(count)

        def write(shard: Shard) -> tuple[FileFacts, list[Member]]:
            path = out / shard.name
            if not path.exists():
                with atomic_path(path) as temporary:
                    _write_shard(part, shard, temporary, left_out, advance_by, stop)
            else:
                advance_by(len(shard.rows))
            return FileFacts(shard.name, path.stat().st_size, sha256_of(path)), members_of(path)

        pool = ThreadPool(workers)
        try:
            written = list(pool.imap(write, shards))
        finally:
            stop.set()
            pool.terminate()
            pool.join()
    columns, kept = _rows_of(part, written, out)
    for row in sorted({*range(len(part.names))} - {*kept.tolist()}):  # of shards that were there
        if (missing := part.names[row]) not in left_out.reasons:
            try:
                require_readable((part.folder / missing).read_bytes())
            except _UNREADABLE as error:
                left_out.add(missing, error)
            else:
                raise DataError(f"{out} lacks {missing}, which can be read now: remove {out}, and begin anew")
    table = write_table(out, name, columns, [part.names[x] for x in kept])
    return Part(
        len(kept), table, tuple(facts for facts, _ in written), dict(sorted(left_out.reasons.items()))
    )


def _write_shard(
    part: SourcePart,
    shard: Shard,
    path: Path,
    left_out: LeftOut,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for row in shard.rows.tolist():
            if stop.is_set():
                raise LaunchError("stopped, since another shard could not be written")
            name = part.names[row]
            try:
                content = (part.folder / name).read_bytes()
                require_readable(content)
            except _UNREADABLE as error:
                left_out.add(name, error)
            else:
                key, label = f"{row:0{_KEY}}", part.labels[row]
                _add(archive, f"{key}{_suffix(name)}", content)
                if label != UNLABELLED:
                    _add(archive, f"{key}.cls", str(label).encode())
            advance(1)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return ".jpg" if suffix == ".jpeg" else suffix


def require_readable(content: bytes) -> None:
    """Raises: OSError, ValueError or SyntaxError: if bytes are no image, or one that is cut off."""
    with Image.open(io.BytesIO(ended(content))):
        pass


def _rows_of(
    part: SourcePart, written: Sequence[tuple[FileFacts, Sequence[Member]]], out: Path
) -> tuple[dict[str, NDArray], NDArray[np.int64]]:
    """Return the table's columns in the order of the source, and the rows of the source that are there."""
    places = [
        (int(member.name[:_KEY]), number, member.offset, member.size)
        for number, (_, members) in enumerate(written)
        for member in members
        if not member.name.endswith(".cls")
    ]
    rows, shard, offset, size = np.array(sorted(places), np.int64).reshape(-1, 4).T
    if len(rows) == 0:
        raise DataError(f"no image of {part.folder} can be read, so {out} would be empty")
    return {"shard": shard, "offset": offset, "size": size, "label": part.labels[rows]}, rows
