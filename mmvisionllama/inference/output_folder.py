"""Output folders that several runs of a command fill: each finds there what it began itself, or nothing."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.errors import LaunchError, UserError
from mmvisionllama.files import atomic_path, read_record
from mmvisionllama.generation.component_facts import differences

_HALF_WRITTEN = re.compile(r"\..+\.\d+\.\w+")  # by a process that was killed


def require_own(
    path: Path, file: str, identity: Mapping[str, Any], what: str, *, but: Collection[str] = ()
) -> set[str]:
    """Require that a folder is empty, not there, or holds what the same run began; nothing is changed.

    Args:
        file: Name of the file that says what was begun.
        identity: That of the present run, for JSON.
        what: That the folder is to hold, for messages.
        but: Keys of the identity that may differ.

    Returns: The names of what is there.
    Raises: LaunchError: saying what differs.
    """
    hint = "Nothing was changed; choose another folder by --out"
    if not path.exists():
        return set()
    if not path.is_dir():
        raise LaunchError(f"--out {path} is a file. {hint}")
    there = {x.name for x in path.iterdir() if not x.name.startswith(".")}
    if there and file not in there:
        raise LaunchError(f"--out {path} holds other files, and no {file}. {hint}")
    if there:
        try:
            known = read_record(path / file)
        except UserError as error:
            raise LaunchError(f"{error}. {hint}") from error
        known, identity = ({k: x for k, x in one.items() if k not in but} for one in (known, identity))
        if found := differences(known, identity, ("there", "now")):
            raise LaunchError(f"--out {path} holds {what} of another run: {'; '.join(found)}. {hint}")
    return there


def claim(path: Path, file: str, identity: Mapping[str, Any]) -> None:
    """Make the folder and say what it is for; remove what a killed process left half-written."""
    path.mkdir(parents=True, exist_ok=True)
    for stray in path.iterdir():
        if _HALF_WRITTEN.fullmatch(stray.name):
            stray.unlink()
    with atomic_path(path / file) as temporary:
        temporary.write_text(json.dumps(identity, indent=2) + "\n")
