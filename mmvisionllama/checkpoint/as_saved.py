"""Hold the bytes of a checkpoint against what was written of them when it was saved."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmvisionllama.checkpoint.kept_config import facts_beside, facts_file
from mmvisionllama.checkpoint.sharded import SHARDED, is_sharded
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import read_json, sha256_of, why_no_file

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_count_or_null(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_sha256(value: Any) -> bool:
    return _is_text(value) and bool(_SHA256.fullmatch(value))


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(map(_is_text, values))


def _are_named_texts(values: Any) -> bool:
    return isinstance(values, dict) and all(map(_is_text, values.values()))


def _are_parts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_part(name, entry) for name, entry in value.items())


def _is_part(name: str, entry: Any) -> bool:
    """Whether a name stays inside of the folder, and size and SHA-256 go with it."""
    inside = name not in ("", ".", "..") and Path(name).name == name and "\0" not in name
    is_pair = isinstance(entry, list) and len(entry) == 2
    return inside and is_pair and _is_count(entry[0]) and _is_sha256(entry[1])


# What a manifest may say, in words; the classes in ``manifest`` say what it has to.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "bytes": ("a whole number of at least 0", _is_count),
    "saved_ns": ("a whole number of at least 0", _is_count),
    "epoch": ("a whole number of at least 0 or null", _is_count_or_null),
    "step": ("a whole number of at least 0 or null", _is_count_or_null),
    "file": ("a text", _is_text),
    "sha256": ("a SHA-256", _is_sha256),
    "non_finite": ("a list of texts", _are_texts),
    "resumable": ("true or false", lambda value: isinstance(value, bool)),
    "versions": ("an object of texts", _are_named_texts),
    "run_id": ("a text or null", lambda value: value is None or _is_text(value)),
    "parts": ("an object of file names, each with its size and SHA-256", _are_parts),
}


def manifest_of(path: Path) -> Path:
    """Return where the manifest of a checkpoint lies: beside a file, inside a folder."""
    return path / "manifest.json" if path.suffix == SHARDED else path.with_name(f"{path.name}.json")


def promise_of(path: Path) -> Path:
    """Return the file that says what the bytes of a checkpoint were; converted weights have no manifest."""
    return facts_file(path) if path.suffix == ".safetensors" else manifest_of(path)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return what the manifest of a checkpoint says, None if there is none.

    Raises: CheckpointError: if it cannot be read, or one of its values is of another kind.
    """
    file = manifest_of(path)
    if not os.path.lexists(file):
        return None
    try:
        content = read_json(file)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not an object")
        for key, (kind, is_one) in _KINDS.items():
            if key in content and not is_one(content[key]):
                raise ValueError(f"{key} is {content[key]!r:.80}, not {kind}")
    except ValueError as error:
        raise CheckpointError(f"its manifest {file.name} is damaged: {error}") from error
    return content


def require_as_saved(path: Path) -> None:
    """Require that a checkpoint has the bytes that its manifest promises; a file may come without one.

    Every reader asks here.

    Raises: CheckpointError: saying what differs, or why that cannot be told.
    """
    if path.suffix == ".safetensors":
        sha256 = facts_beside(path).get("sha256")
        expected = {"": (None, sha256)} if isinstance(sha256, str) else {}
    else:
        expected = _promised(read_manifest(path), is_sharded(path))
    for name, (size, sha256) in expected.items():
        file = path / name if name else path
        its, it = (f"{name}'s", name) if name else ("its", "it")
        if problem := why_no_file(file):
            raise CheckpointError(f"{it} is {problem}")
        try:
            found = file.stat().st_size
            if size is not None and found != size:
                raise CheckpointError(f"{it} has {found} bytes instead of the {size} that were saved")
            if sha256_of(file) != sha256:
                raise CheckpointError(f"{its} bytes are not those that were saved (another sha256)")
        except OSError as error:
            raise CheckpointError(f"{it} cannot be read: {error.strerror}") from error


def _promised(manifest: dict[str, Any] | None, sharded: bool) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of every file of a checkpoint; the only file of an ordinary one has no name."""
    if manifest is None and sharded:
        raise CheckpointError("its manifest is missing")
    if manifest is None:
        return {}
    needed = ("parts",) if sharded else ("bytes", "sha256")
    if lacking := [key for key in needed if key not in manifest]:
        raise CheckpointError(f"its manifest is damaged: it lacks {', '.join(lacking)}")
    return manifest["parts"] if sharded else {"": (manifest["bytes"], manifest["sha256"])}
