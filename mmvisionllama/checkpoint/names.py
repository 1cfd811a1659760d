"""Models by name: tiny ones that lie in this package, and weights that the authors released."""

import os
import re
from pathlib import Path

from mmvisionllama.checkpoint.kept_config import WEIGHTS
from mmvisionllama.checkpoint.released.names import RELEASED, released_weights
from mmvisionllama.errors import CheckpointError
from mmvisionllama.suggestions import did_you_mean

TINY = Path(__file__).resolve().parents[1] / "tiny_models"  # for each a folder that `publish` has written
_NAME = re.compile(r"[\w-]+")


def tiny_models() -> list[str]:
    """Return the names of the models in this package, one a task."""
    return sorted(x.parent.name for x in TINY.glob(f"*/{WEIGHTS}"))


def is_name(source: str | Path) -> bool:
    """Whether this is the name of a model, or meant to be one: no address, no path, and nothing is there."""
    return _NAME.fullmatch(str(source)) is not None and not os.path.lexists(source)


def named_weights(name: str) -> Path:
    """Return the weights of a model by its name; those of a released one as ``released_weights`` does.

    Raises: CheckpointError: for an unknown name, or released weights that are not here.
    """
    tiny = tiny_models()
    if name in tiny:
        return TINY / name / WEIGHTS
    if name in RELEASED:
        return released_weights(name)
    known = [*tiny, *RELEASED]
    raise CheckpointError(
        f"checkpoint {name} does not exist, and no model has that name.{did_you_mean(name, known)} "
        f"Names are {', '.join(known)}"
    )


def named_config(name: str) -> str | None:
    """Return the config that a named model is built from, None if its weights keep what is needed."""
    return RELEASED[name].config if name in RELEASED else None
