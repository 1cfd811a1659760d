"""Sources of a model: a file, a work directory, a published folder, a name, the hub."""

from pathlib import Path

from mmvisionllama.checkpoint.kept_config import WEIGHTS
from mmvisionllama.checkpoint.manifest import newest_good
from mmvisionllama.checkpoint.names import is_name, named_weights
from mmvisionllama.checkpoint.reading import is_sharded, local_file
from mmvisionllama.errors import CheckpointError
from mmvisionllama.inference.hub import PREFIX, hub_file


def checkpoint_file(source: str | Path) -> Path:
    """Return the file, or ``.sharded`` folder, that holds the weights of a model.

    Args:
        source: A checkpoint file, an ``http(s)`` address of one, a published folder, ``hf:owner/name`` on the
            hub, the name of a model, or the work directory of a training, whose newest good
            checkpoint is taken.

    Raises: CheckpointError: if there is none.
    """
    if is_name(source):
        return named_weights(str(source))
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
