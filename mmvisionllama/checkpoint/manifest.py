"""Whether a saved checkpoint can be trusted: what its bytes hold, held against the manifest beside it."""

import hashlib
import json
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmvisionllama.checkpoint.reading import (
    SHARDED,
    CheckpointError,
    is_sharded,
    read_checkpoint,
    require_file,
)
from mmvisionllama.checkpoint.sharded import files_in, read_common, read_parts
from mmvisionllama.files import sha256_of

_CHUNK = 1 << 24
NAMED = 3  # of the tensors that are not finite
# What a training computes with; the logged history may well hold an infinite gradient norm.
_COMPUTED = ("state_dict", "ema_state_dict", "optimizer")


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint file held when it was saved.

    Attributes:
        step: Training iterations behind it.
        non_finite: Names of the first tensors that hold NaN or infinity; such a checkpoint is never resumed.
        resumable: Whether it holds a whole training rather than weights alone.
        saved_ns: Time of saving, nanoseconds since 1970; it orders the checkpoints of a folder.
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

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Raises: ValueError: if the text is no manifest."""
        content = json.loads(text)
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or content.keys() != names:
            raise ValueError(f"expected the keys {', '.join(sorted(names))}")
        return cls(**{**content, "non_finite": tuple(content["non_finite"])})


@dataclass(frozen=True)
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


def manifest_of(path: Path) -> Path:
    """Return where the manifest of a checkpoint lies: beside a file, inside a folder."""
    return path / "manifest.json" if path.suffix == SHARDED else path.with_name(f"{path.name}.json")


def examine(path: Path) -> Manifest:
    """Read a whole checkpoint, its checksums included, and describe it.

    Raises: CheckpointError: if it is damaged or holds anything but tensors and plain values.
    """
    if is_sharded(path):
        return examine_sharded(path)
    content = read_checkpoint(path, lazy=True)
    if zipfile.is_zipfile(path):
        # torch does not compare the checksums of an archive that it maps into memory.
        with zipfile.ZipFile(path) as archive:
            try:
                broken = archive.testzip()
            except (zipfile.BadZipFile, OSError, RuntimeError) as error:
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
    path = require_file(path)
    try:
        promised = _read_manifest(path)
        if promised is not None:
            _compare(path, promised)
        elif is_sharded(path):
            return Verdict(path, "its manifest is missing")
        found = examine(path)
    except CheckpointError as error:
        return Verdict(path, str(error).removeprefix(f"{path} ").removeprefix("is "))
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


def newest_good(folder: str | Path) -> Choice:
    """Choose the newest checkpoint of a folder that verifies and holds a whole training."""
    rejected = []
    for path in sorted(checkpoints_in(folder), key=_age_key, reverse=True):
        verdict = verify(path)
        if verdict.problem:
            rejected.append(verdict)
        elif verdict.manifest.resumable:
            return Choice(path, tuple(rejected))
    return Choice(None, tuple(rejected))


def checkpoints_in(folder: str | Path) -> list[Path]:
    """List the checkpoints of a folder; temporary files of a save are none."""
    found = [x for x in Path(folder).glob("*.pth") if x.is_file()]
    found += [x for x in Path(folder).glob(f"*{SHARDED}") if x.is_dir()]
    return sorted(x for x in found if not x.name.startswith("."))


def _age_key(path: Path) -> tuple[int, str]:
    try:
        promised = _read_manifest(path)
    except CheckpointError:
        promised = None
    return (path.stat().st_mtime_ns if promised is None else promised.saved_ns), path.name


def _read_manifest(path: Path) -> Manifest | None:
    file = manifest_of(path)
    if not file.is_file():
        return None
    try:
        return (ShardedManifest if is_sharded(path) else Manifest).from_json(file.read_text())
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"its manifest {file.name} is damaged: {error}") from error


def _compare(path: Path, promised: Manifest) -> None:
    """Require that the bytes on disk are those that were saved."""
    if isinstance(promised, ShardedManifest):
        files = {name: path / name for name in promised.parts}
        expected = promised.parts
    else:
        files, expected = {"": path}, {"": (promised.bytes, promised.sha256)}
    for name, (size, sha256) in expected.items():
        its, it = (f"{name}'s", name) if name else ("its", "it")
        if not files[name].is_file():
            raise CheckpointError(f"{it} is missing")
        if files[name].stat().st_size != size:
            found = files[name].stat().st_size
            raise CheckpointError(f"{it} has {found} bytes instead of the {size} that were saved")
        if sha256_of(files[name]) != sha256:
            raise CheckpointError(f"{its} bytes are not those that were saved (another sha256)")


def examine_sharded(folder: Path) -> ShardedManifest:
    """Do what ``examine`` does for a folder, whatever its name."""
    common = read_common(folder)
    parts = {file.name: (file.stat().st_size, sha256_of(file)) for file in files_in(folder)}
    return ShardedManifest.of(folder, common, parts, non_finite_in(common, read_parts(folder)))


def _description(path: Path, content: dict[str, Any], non_finite: list[str]) -> dict[str, Any]:
    meta = content.get("meta") or {}
    return dict(
        file=path.name,
        epoch=meta.get("epoch"),
        step=meta.get("iter"),
        non_finite=tuple(non_finite),
        resumable="optimizer" in content and "message_hub" in content,
        saved_ns=time.time_ns(),
        versions=dict(meta.get("versions") or {}),
    )


def non_finite_in(content: dict[str, Any], parts: Iterable[tuple[str, Tensor]] = ()) -> list[str]:
    """Name the first tensors of a checkpoint, and of ``parts`` beside it, that hold NaN or infinity."""
    computed = {key: content[key] for key in _COMPUTED if key in content} or content
    tensors = chain(named_tensors(computed), parts)
    names = (name for name, x in tensors if x.is_floating_point() and not _is_finite(x))
    return list(islice(names, NAMED))


def _is_finite(x: Tensor) -> bool:
    # By parts, so that a huge tensor that is mapped into memory is never copied as a whole.
    return all(bool(torch.isfinite(part).all()) for part in x.detach().reshape(-1).split(_CHUNK))


def named_tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a nest of dicts and lists, by path below ``name``."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from named_tensors(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from named_tensors(item, f"{name}.{index}".lstrip("."))
