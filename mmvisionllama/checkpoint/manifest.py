"""Manifests of checkpoints: size, SHA-256, step; verify them and choose the newest good one."""

import hashlib
import json
import os
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmvisionllama.checkpoint.as_saved import manifest_of, read_manifest, require_as_saved
from mmvisionllama.checkpoint.reading import read_unchecked, require_file
from mmvisionllama.checkpoint.run_identity import folders_of, known_id, read_record
from mmvisionllama.checkpoint.sharded import (
    DEPTH,
    SHARDED,
    files_in,
    is_sharded,
    read_common,
    read_parts,
)
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import sha256_of, why_no_file

_CHUNK = 1 << 24
INFINITE = "infinite_buffers"  # in ``meta``
REPLACED = "replaced_"  # begins the name of a folder of shards while another takes its place
NAMED = 3  # of the tensors that are not finite
_UNKNOWN = sys.maxsize  # the step of what cannot be read: it is reported, whatever is chosen
# What a training computes with; the logged history may well hold an infinite gradient norm.
_COMPUTED = ("state_dict", "ema_state_dict", "optimizer")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint file held when it was saved.

    Attributes:
        step: Training iterations behind it.
        non_finite: Names of the first tensors that hold NaN or infinity; such a checkpoint is never resumed.
        resumable: Whether it holds a whole training rather than weights alone.
        saved_ns: Time of saving, nanoseconds since 1970; nothing depends on it, since clocks may be wrong.
        run_id: Of the run that saved it; None before runs had ids.
    """

    file: str
    bytes: int
    sha256: str
    epoch: int | None
    step: int | None
    non_finite: tuple[str, ...]
    resumable: bool
    saved_ns: int
    versions: dict[str, str]
    run_id: str | None = None

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def of_content(cls, content: dict[str, Any]) -> "Manifest":
        """Raises: ValueError: if a key is missing or unknown; ``read_manifest`` has looked at the values."""
        names = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if not isinstance(content, dict) or not needed <= content.keys() <= names:
            raise ValueError(f"expected the keys {', '.join(sorted(names))}")
        return cls(**{**content, "non_finite": tuple(content["non_finite"])})


@dataclass(frozen=True, kw_only=True)
class ShardedManifest(Manifest):
    """What the folder of a sharded checkpoint held.

    Attributes:
        parts: Size and SHA-256 of each of its files; ``sha256`` is that of the list of them.
    """

    parts: dict[str, tuple[int, str]]

    @classmethod
    def of(
        cls, folder: Path, common: dict[str, Any], parts: dict[str, tuple[int, str]], non_finite: list[str]
    ) -> "ShardedManifest":
        """Describe ``folder`` by what is known of its files and its values."""
        listing = "".join(f"{sha256}  {name}\n" for name, (_, sha256) in sorted(parts.items()))
        return cls(
            **_description(folder, common, non_finite),
            bytes=sum(size for size, _ in parts.values()),
            sha256=hashlib.sha256(listing.encode()).hexdigest(),
            parts=dict(sorted(parts.items())),
        )


@dataclass(frozen=True)
class Verdict:
    """Whether a checkpoint can be used: it can unless there is a ``problem``; ``note`` is a mere remark."""

    path: Path
    problem: str | None = None
    note: str | None = None
    manifest: Manifest | None = None

    def __str__(self) -> str:
        if self.problem:
            return f"{self.path}: BAD, {self.problem}"
        step = "" if self.manifest is None or self.manifest.step is None else f", step {self.manifest.step}"
        return f"{self.path}: good{step}" + (f" ({self.note})" if self.note else "")


def examine(path: Path) -> Manifest:
    """Read a whole checkpoint, its checksums included, and describe it.

    Raises: CheckpointError: if it is damaged or holds anything but tensors and plain values.
    """
    if is_sharded(path):
        return examine_sharded(path)
    content = read_unchecked(path, lazy=True)
    if zipfile.is_zipfile(path):
        # torch does not compare the checksums of an archive that it maps into memory.
        try:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
        except Exception as error:  # zipfile and zlib fail on damaged bytes by almost any error
            raise CheckpointError(f"{path} is a damaged checkpoint: {error}") from error
        if broken:
            raise CheckpointError(f"{path} is a damaged checkpoint: the checksum of {broken} does not match")
    return Manifest(
        **_description(path, content, non_finite_in(content)),
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )


def verify(path: str | Path) -> Verdict:
    """Judge a checkpoint, a file or a folder, by its bytes, its content and its manifest, if it has one.

    Raises: CheckpointError: if there is no such file.
    """
    path = Path(path).expanduser()
    if not os.path.lexists(path):
        require_file(path)
    if path.suffix == SHARDED and not path.is_dir():
        return Verdict(path, f"it is {why_no_file(path) or 'a file'}, not a folder")
    if path.suffix != SHARDED and (problem := why_no_file(path)):
        return Verdict(path, f"it is {problem}")
    try:
        promised = _read_manifest(path)
        require_as_saved(path)
        found = examine(path)
    except CheckpointError as error:
        return Verdict(path, str(error).removeprefix(f"{path} ").removeprefix("is "))
    except OSError as error:
        return Verdict(path, f"it cannot be read: {error.strerror}")
    if found.non_finite:
        return Verdict(path, f"NaN or infinity in {', '.join(found.non_finite)}", manifest=promised or found)
    if promised is None:
        return Verdict(path, note="without a manifest, but whole", manifest=found)
    return Verdict(path, manifest=promised)


@dataclass(frozen=True)
class Choice:
    """The checkpoint to go on from, None if there is none, and the newer ones that were rejected."""

    path: Path | None
    rejected: tuple[Verdict, ...]


def newest_good(work_dir: str | Path, out_dir: str | Path | None = None) -> Choice:
    """Choose the newest checkpoint of a run that verifies and holds a whole training.

    Every resume asks here; the batch script of a SLURM job does by ``python -m mmvisionllama.checkpoint``.

    Args:
        out_dir: What the CheckpointHook was told, see ``folders_of``.
    """
    rejected = []
    for verdict in judged(work_dir, out_dir):
        if verdict.problem:
            rejected.append(verdict)
        elif verdict.manifest.resumable:
            return Choice(verdict.path, tuple(rejected))
    return Choice(None, tuple(rejected))


def judged(work_dir: str | Path, out_dir: str | Path | None = None) -> Iterator[Verdict]:
    """Verify the checkpoints of the run that a work directory belongs to, the newest first.

    The newest is that after most steps: clocks differ between machines, and copies have times of their own.
    """
    yield from map(verify, checkpoints_of(work_dir, out_dir))


def checkpoints_of(work_dir: str | Path, out_dir: str | Path | None = None) -> list[Path]:
    """List the checkpoints of the run that a work directory belongs to, the newest first.

    What another run has left in its folders is none of them. Without a record all belong to one run.
    """
    record = read_record(work_dir)
    labels = {
        path: label_of(path) for folder in folders_of(work_dir, out_dir) for path in checkpoints_in(folder)
    }
    if record is not None:
        labels = {x: label for x, label in labels.items() if not label.is_known or record.owns(label.run_id)}

    def age(path: Path) -> tuple[int, int, bool, str]:
        return labels[path].step, labels[path].epoch, not path.name.startswith(REPLACED), path.name

    return sorted(labels, key=age, reverse=True)


def checkpoints_in(folder: str | Path) -> list[Path]:
    """List the checkpoints of a folder, whichever run's; temporary files of a save are none."""
    found = [x for suffix in (".pth", SHARDED) for x in Path(folder).glob(f"*{suffix}")]
    return sorted(x for x in found if not x.name.startswith("."))


@dataclass(frozen=True)
class Label:
    """Where a checkpoint stands: its run, and how far that was.

    Attributes:
        is_known: Whether anything could be read of it; of a damaged one the name alone tells the step.
    """

    run_id: str | None
    step: int
    epoch: int
    is_known: bool = True


def label_of(path: Path) -> Label:
    """Read where a checkpoint stands from its manifest, else from itself; it is not verified."""
    try:
        manifest = _read_manifest(path)
    except CheckpointError:
        manifest = None
    if manifest is not None:
        return Label(known_id(manifest.run_id), _count(manifest.step), _count(manifest.epoch))
    try:
        meta = meta_of(path)
    except (CheckpointError, OSError):
        named = re.search(r"iter_(\d+)$", path.stem)
        return Label(None, int(named[1]) if named else _UNKNOWN, 0, is_known=False)
    return Label(known_id(meta.get("run_id")), _count(meta.get("iter")), _count(meta.get("epoch")))


def meta_of(path: Path) -> dict[str, Any]:
    """Return what a checkpoint says of itself, without reading its tensors."""
    if path.suffix != SHARDED and (problem := why_no_file(path)):
        raise CheckpointError(f"{path} is {problem}")
    content = read_common(path) if is_sharded(path) else read_unchecked(path, lazy=True)
    meta = content.get("meta")
    return meta if isinstance(meta, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _read_manifest(path: Path) -> Manifest | None:
    content = read_manifest(path)
    if content is None:
        return None
    try:
        return (ShardedManifest if is_sharded(path) else Manifest).of_content(content)
    except ValueError as error:
        raise CheckpointError(f"its manifest {manifest_of(path).name} is damaged: {error}") from error


def is_manifest(path: Path) -> bool:
    """Whether what lies where the manifest of a checkpoint should be is one, and of that name."""
    try:
        manifest = _read_manifest(path)
    except CheckpointError:
        return False
    return manifest is not None and manifest.file == path.name


def examine_sharded(folder: Path) -> ShardedManifest:
    """Do what ``examine`` does for a folder, whatever its name."""
    common = read_common(folder)
    parts = {file.name: (file.stat().st_size, sha256_of(file)) for file in files_in(folder)}
    return ShardedManifest.of(folder, common, parts, non_finite_in(common, read_parts(folder)))


def _description(path: Path, content: dict[str, Any], non_finite: list[str]) -> dict[str, Any]:
    meta = content.get("meta") or {}
    for key in ("epoch", "iter"):
        if not isinstance(count := meta.get(key), int | None) or (count or 0) < 0:
            raise CheckpointError(f"is a damaged checkpoint: its {key} is {count!r:.80}")
    for key in ("state_dict", "ema_state_dict", "optimizer", "message_hub"):
        if not isinstance(part := content.get(key, {}), dict):
            raise CheckpointError(f"is a damaged checkpoint: its {key} is a {type(part).__name__}")
    versions = meta.get("versions")
    return dict(
        file=path.name,
        epoch=meta.get("epoch"),
        step=meta.get("iter"),
        non_finite=tuple(non_finite),
        resumable="optimizer" in content and "message_hub" in content,
        saved_ns=time.time_ns(),
        versions={str(k): str(x) for k, x in versions.items()} if isinstance(versions, dict) else {},
        run_id=known_id(meta.get("run_id")),
    )


def non_finite_in(content: dict[str, Any], parts: Iterable[tuple[str, Tensor]] = ()) -> list[str]:
    """Name the first tensors of a checkpoint, and of ``parts`` beside it, that hold NaN or infinity.

    Infinity is sound in the buffers that the checkpoint lists as infinite by design.
    """
    designed = (content.get("meta") or {}).get(INFINITE)
    designed = designed if isinstance(designed, list) else []
    computed = {key: content[key] for key in _COMPUTED if key in content} or content
    tensors = chain(named_tensors(computed), parts)
    floats = ((name, x) for name, x in tensors if x.is_floating_point())
    odd = ((name, x) for name, x in floats if not _holds(torch.isfinite, name, x))
    names = (name for name, x in odd if _weight(name) not in designed or not _holds(_is_number, name, x))
    return list(islice(names, NAMED))


def _weight(name: str) -> str | None:
    """Return what the model calls a tensor that a checkpoint has below ``name``, None if it is no weight."""
    part, _, rest = name.replace("/", ".").partition(".")
    return rest.removeprefix("module.") if part in ("state_dict", "ema_state_dict") else None


def _is_number(x: Tensor) -> Tensor:
    return ~torch.isnan(x)


def _holds(test: Callable[[Tensor], Tensor], name: str, x: Tensor) -> bool:
    """Whether every value passes."""
    x = x.detach()
    try:
        if x.layout == torch.strided and x.nbytes > x.untyped_storage().nbytes():
            x = x.new_empty(0).set_(x.untyped_storage())  # one that repeats its values without holding them
        if x.itemsize == 1:
            x = x.float()  # of eight bits, which torch does not compare
        # By parts, so that a huge tensor that is mapped into memory is never copied as a whole.
        return all(bool(test(part).all()) for part in x.reshape(-1).split(_CHUNK))
    except (RuntimeError, NotImplementedError) as error:
        raise CheckpointError(f"is a damaged checkpoint: {name} cannot be looked at: {error}") from error


def named_tensors(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a nest of dicts and lists, by path below ``name``.

    Raises: CheckpointError: for a nest that nothing sound has, e.g. a dict that holds itself.
    """
    if depth > DEPTH:
        raise CheckpointError(f"is a damaged checkpoint: nested too deeply at {name[:80]}")
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from named_tensors(item, f"{name}.{key}".lstrip("."), depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from named_tensors(item, f"{name}.{index}".lstrip("."), depth + 1)
