"""Write converted weights as safetensors, with a JSON file about their model and source."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mmvisionllama import __version__
from mmvisionllama.checkpoint.reading import local_file, read_checkpoint
from mmvisionllama.checkpoint.released.convert import Converted, convert
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import atomic_path, sha256_of

SUFFIX = ".safetensors"


def convert_file(
    source: str | Path,
    target: str | Path,
    *,
    family: str | None = None,
    part: str | None = None,
    force: bool = False,
    accept_license: str | None = None,
    known: dict[str, Any] | None = None,
) -> Converted:
    """Convert a released checkpoint into ``target``, a file that every config can load or start from.

    Beside it goes a JSON file of the same name: the model's config, the SHA-256 of the weights and of the
    source, and what was left out and why. Either both are written or none.

    Args:
        source: A file or an ``http(s)`` address; no code in it runs.
        family: See :func:`convert_released`, also for ``accept_license`` and ``known``.
        part: The key below which the weights lie, e.g. ``model`` for those without moving average.
        force: Overwrite ``target``.

    Raises: CheckpointError: for a source that cannot be used, or a target that exists or cannot be written.
    """
    target = Path(target).expanduser()
    beside = require_free(target, force)
    file = local_file(source)
    if target.exists() and target.samefile(file):
        raise CheckpointError(f"{target} is the source itself: give another target")
    converted = convert(read_checkpoint(file), family, known or {}, part, accept_license=accept_license)
    facts = dict(
        family=converted.family,
        model=converted.model,
        source=dict(file=str(source), sha256=sha256_of(file), part=part),
        report=converted.report,
        mmvisionllama=__version__,
    )
    tensors = {name: _in_own_memory(x) for name, x in converted.state_dict.items()}
    try:
        with atomic_path(target) as weights_file, atomic_path(beside) as facts_file:
            save_file(tensors, weights_file, dict(format="pt", mmvisionllama=__version__))
            facts["sha256"] = sha256_of(weights_file)
            facts_file.write_text(json.dumps(facts, indent=2) + "\n")
            shutil.copymode(facts_file, weights_file)  # safetensors makes its files private
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{target} cannot be written: {error}") from error
    return converted


def require_free(target: Path, force: bool) -> Path:
    """Return the path of the JSON file of ``target``; raise a CheckpointError if one of them exists."""
    if target.suffix != SUFFIX:
        raise CheckpointError(f"target {target}: converted weights are safetensors, name it *{SUFFIX}")
    beside = target.with_suffix(".json")
    for path in (target, beside):
        if path.is_dir():
            raise CheckpointError(f"target {path} is a folder")
        if path.exists() and not force:
            raise CheckpointError(f"target {path} exists: choose another name, or overwrite it with --force")
    return beside


def _in_own_memory(x: Tensor) -> Tensor:
    """Return the tensor in memory of its own, as the format asks for."""
    whole = x.is_contiguous() and x.untyped_storage().nbytes() == x.nbytes
    return x if whole else x.clone(memory_format=torch.contiguous_format)
