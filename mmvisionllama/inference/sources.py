"""Sources of a model: a file, a work directory, a published folder, a released name, the hub."""

from pathlib import Path

from mmvisionllama.checkpoint.manifest import newest_good
from mmvisionllama.checkpoint.reading import is_sharded, local_file
from mmvisionllama.checkpoint.released.names import ENDING, released_weights
from mmvisionllama.errors import CheckpointError
from mmvisionllama.inference.hub import PREFIX, hub_file
from mmvisionllama.inference.published_files import WEIGHTS


def is_released(source: str | Path) -> bool:
    """Whether this is the name of released weights, or meant to be one."""
    return str(source).endswith(ENDING) and not Path(source).exists()


def checkpoint_file(source: str | Path) -> Path:
    """Return the file, or ``.sharded`` folder, that holds the weights of a model.

    Args:
        source: A checkpoint file, an ``http(s)`` address of one, a published folder, ``hf:owner/name`` on the
            hub, the name of released weights, or the work directory of a training, whose newest good
            checkpoint is taken.

    Raises: CheckpointError: if there is none.
    """
    if is_released(source):
        return released_weights(str(source))
    if str(source).startswith(PREFIX):
        return hub_file(str(source))
    folder = Path(source).expanduser()
    if "://" in str(source) or not folder.is_dir() or is_sharded(folder):
        return local_file(source)
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    choice = newest_good(folder)
    if choice.path is None:
        rejected = "".join(f"\n  {verdict}" for verdict in choice.rejected)
        raise CheckpointError(f"{folder} has no good checkpoint{rejected}")
    return choice.path
