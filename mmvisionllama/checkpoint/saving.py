"""Durable, atomic saving and removal of checkpoints."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from mmvisionllama.checkpoint.as_saved import manifest_of
from mmvisionllama.checkpoint.logged_history import plain_values
from mmvisionllama.checkpoint.manifest import (
    REPLACED,
    Manifest,
    ShardedManifest,
    checkpoints_in,
    examine,
    is_manifest,
    label_of,
    verify,
)
from mmvisionllama.checkpoint.reading import read_checkpoint
from mmvisionllama.checkpoint.run_identity import POINTER, RunRecord
from mmvisionllama.checkpoint.sharded import SHARDED, files_in, is_sharded
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import atomic_path, make_new

_SUFFIX = ".saving"


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
    replaced = target.with_name(f"{REPLACED}{target.name}")
    if target.exists():  # no folder is put in the place of another at once, so there are two for a moment
        remove_shards(replaced)
        os.replace(target, replaced)
    os.replace(temporary, target)
    flush(target.parent)
    remove_shards(replaced)
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
        make_new(temporary)
        content = read_checkpoint(folder)
        if "message_hub" in content:  # of versions before 0.2
            content["message_hub"] = plain_values(content["message_hub"])
        torch.save(content, temporary)
        return publish(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_durably(path: Path, text: str) -> None:
    """Replace a small file at once, and return when it is on disk."""
    with atomic_path(path) as temporary:
        temporary.write_text(text)
        flush(temporary)
    flush(path.parent)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and then its manifest; nothing happens if they are gone."""
    if is_sharded(path):
        temporary = temporary_of(path)  # half of it must not be taken for a damaged one
        os.replace(path, temporary)
        remove_shards(temporary)
        return
    path.unlink(missing_ok=True)
    manifest_of(path).unlink(missing_ok=True)


def remove_own(folder: Path, name: str, run: RunRecord) -> bool:
    """Remove a checkpoint of this run, named by a checkpoint, if it is one and lies in this folder.

    Returns: Whether it was removed; a name that is a path, another run's file or no checkpoint never is.
    """
    path = folder / name
    if not isinstance(name, str) or path not in checkpoints_in(folder):
        return False
    label = label_of(path)
    if path.is_symlink() or not label.is_known or not run.owns(label.run_id):
        return False
    remove_checkpoint(path)
    return True


def remove_shards(folder: Path) -> None:
    """Remove the folder of a sharded checkpoint, also one that a kill left half; other files in it stay.

    Nothing is removed by recursion: whatever else is in there keeps the folder alive.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    left = [*folder.glob(".*.tmp"), *folder.glob(".manifest.*.json"), *folder.glob("*.distcp.tmp")]
    for file in [*files_in(folder), folder / "manifest.json", *left]:
        file.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def remove_strays(folder: Path) -> list[Path]:
    """Remove what a killed save left: temporary files, and manifests whose checkpoint is gone."""
    for path in folder.glob(f"{REPLACED}*{SHARDED}"):
        target = path.with_name(path.name.removeprefix(REPLACED))
        if not target.exists():
            os.replace(path, target)
    strays = sorted(_strays(folder))
    for path in strays:
        if path.is_dir():
            remove_shards(path)
        else:
            path.unlink(missing_ok=True)
    return [x for x in strays if not x.exists()]


def _strays(folder: Path) -> Iterator[Path]:
    temporary = re.compile(rf"\..+\.(pth|sharded){_SUFFIX}|\..+\.pth\.\d+\.json|\.{POINTER}\.\d+")
    yield from (x for x in folder.glob(".*") if temporary.fullmatch(x.name))
    yield from folder.glob(f"{REPLACED}*{SHARDED}")
    for path in folder.glob("*.pth.json"):
        checkpoint = path.with_suffix("")
        if not os.path.lexists(checkpoint) and is_manifest(checkpoint):
            yield path


def flush(path: Path) -> None:
    """Return when a file or a folder is on disk; what is read of a file from now on comes from there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some file systems, of networks above all, cannot flush a folder; they have nothing to flush.
            if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
                raise
        if path.is_file() and hasattr(os, "posix_fadvise"):
            # Otherwise reading it back would show the memory of the kernel, not the disk.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
