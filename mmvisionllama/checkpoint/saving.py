"""Put a checkpoint on disk so that a kill, a full disk or a power cut at any moment loses none before it."""

import os
from pathlib import Path

from mmvisionllama.checkpoint.manifest import Manifest, examine, manifest_of
from mmvisionllama.files import replaced_when_whole

POINTER = "last_checkpoint"  # mmengine's name for the file that names the newest checkpoint
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
    _flush(temporary)
    found = examine(temporary)
    if found.non_finite:
        target = target.with_name(f"nonfinite_{target.name}")
    manifest = Manifest(**{**vars(found), "file": target.name})
    # A kill between the two renames must not leave new bytes under an old manifest.
    manifest_of(target).unlink(missing_ok=True)
    _flush(target.parent)
    os.replace(temporary, target)
    _flush(target.parent)
    write_durably(manifest_of(target), manifest.as_json())
    return manifest


def write_durably(path: Path, text: str) -> None:
    """Replace a small file at once, and return when it is on disk."""
    with replaced_when_whole(path) as temporary:
        temporary.write_text(text)
        _flush(temporary)
    _flush(path.parent)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and then its manifest; nothing happens if they are gone."""
    path.unlink(missing_ok=True)
    manifest_of(path).unlink(missing_ok=True)


def remove_strays(folder: Path) -> list[Path]:
    """Remove what a killed save left: temporary files, and manifests whose checkpoint is gone."""
    strays = [x for name in (f".*{_SUFFIX}", ".*.pth.*.json", f".{POINTER}.*") for x in folder.glob(name)]
    strays += [x for x in folder.glob("*.pth.json") if not x.with_suffix("").exists()]
    for path in strays:
        path.unlink(missing_ok=True)
    return strays


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if path.is_file() and hasattr(os, "posix_fadvise"):
            # Otherwise reading it back would show the memory of the kernel, not the disk.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
