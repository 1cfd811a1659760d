"""Put a checkpoint on disk so that a kill, a full disk or a power cut at any moment loses none before it."""

import os
import shutil
from pathlib import Path

import torch

from mmvisionllama.checkpoint.manifest import Manifest, ShardedManifest, examine, manifest_of, verify
from mmvisionllama.checkpoint.reading import SHARDED, CheckpointError, is_sharded, read_checkpoint
from mmvisionllama.files import replaced_when_whole

POINTER = "last_checkpoint"  # mmengine's name for the file that names the newest checkpoint
_SUFFIX, _REPLACED = ".saving", "replaced_"


def temporary_of(target: Path) -> Path:
    """Return where to write what is to become ``target``; no reader takes it for a checkpoint."""
    return target.with_name(f".{target.name}{_SUFFIX}")


def publish(target: Path) -> Manifest:
    """Make the checkpoint at ``temporary_of(target)`` durable, verify it, and let it appear as ``target``.

    It is flushed to disk, read back and renamed; then comes its manifest, renamed as well. One that holds NaN
    or infinity appears as ``nonfinite_<name>`` instead.

    Returns: The manifest, whose ``file`` says under which name it appeared.
    Raises:
        CheckpointError: if what can be read back is not a whole checkpoint.
        OSError: if the disk refuses. In both cases what was at ``target`` stays.
    """
    temporary = temporary_of(target)
    flush(temporary)
    found = examine(temporary)
    if found.non_finite:
        target = target.with_name(f"nonfinite_{target.name}")
    manifest = Manifest(**{**vars(found), "file": target.name})
    # A kill between the two renames must not leave new bytes under an old manifest.
    manifest_of(target).unlink(missing_ok=True)
    flush(target.parent)
    os.replace(temporary, target)
    flush(target.parent)
    write_durably(manifest_of(target), manifest.as_json())
    return manifest


def publish_sharded(target: Path, manifest: ShardedManifest) -> ShardedManifest:
    """Let the folder at ``temporary_of(target)``, whose files are flushed and verified, appear as ``target``.

    Its manifest is written into it first, so that both appear at once. For the name see ``publish``.
    """
    temporary = temporary_of(target)
    if manifest.non_finite:
        target = target.with_name(f"nonfinite_{target.name}")
    manifest = ShardedManifest(**{**vars(manifest), "file": target.name})
    write_durably(temporary / manifest_of(target).name, manifest.as_json())
    replaced = target.with_name(f"{_REPLACED}{target.name}")
    if target.exists():  # no folder is put in the place of another at once, so there are two for a moment
        shutil.rmtree(replaced, ignore_errors=True)
        os.replace(target, replaced)
    os.replace(temporary, target)
    flush(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return manifest


def merge(folder: Path, target: Path) -> Manifest:
    """Make one ordinary file of a sharded checkpoint, which every tool takes and any run resumes from.

    Raises: CheckpointError: if the folder is no sharded checkpoint, damaged, or holds NaN or infinity.
    """
    verdict = verify(folder)
    if verdict.problem or not isinstance(verdict.manifest, ShardedManifest):
        raise CheckpointError(str(verdict) if verdict.problem else f"{folder} is one file already")
    if target.suffix != ".pth":
        raise CheckpointError(f"{target}: give the name of a .pth file")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(target)
    try:
        torch.save(read_checkpoint(folder), temporary)
        return publish(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_durably(path: Path, text: str) -> None:
    """Replace a small file at once, and return when it is on disk."""
    with replaced_when_whole(path) as temporary:
        temporary.write_text(text)
        flush(temporary)
    flush(path.parent)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and then its manifest; nothing happens if they are gone."""
    if is_sharded(path):
        temporary = temporary_of(path)  # half of it must not be taken for a damaged one
        os.replace(path, temporary)
        shutil.rmtree(temporary)
        return
    path.unlink(missing_ok=True)
    manifest_of(path).unlink(missing_ok=True)


def remove_strays(folder: Path) -> list[Path]:
    """Remove what a killed save left: temporary files, and manifests whose checkpoint is gone."""
    for path in folder.glob(f"{_REPLACED}*{SHARDED}"):
        target = path.with_name(path.name.removeprefix(_REPLACED))
        if not target.exists():
            os.replace(path, target)
    patterns = (f".*{_SUFFIX}", f"{_REPLACED}*{SHARDED}", ".*.pth.*.json", f".{POINTER}.*")
    strays = [x for pattern in patterns for x in folder.glob(pattern)]
    strays += [x for x in folder.glob("*.pth.json") if not x.with_suffix("").exists()]
    for path in strays:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return strays


def flush(path: Path) -> None:
    """Return when a file or a folder is on disk; what is read of a file from now on comes from there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if path.is_file() and hasattr(os, "posix_fadvise"):
            # Otherwise reading it back would show the memory of the kernel, not the disk.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
