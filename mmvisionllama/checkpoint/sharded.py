"""Sharded checkpoints: one file per process in torch's distributed format, read by any number of them.

``iter_100.sharded`` is a folder of

- ``common.pth``: what an ordinary checkpoint holds, with empty tensors in the places of the sharded ones,
- ``__<process>_<n>.distcp``: shards, and ``.metadata``, which says where each of them is,
- ``manifest.json``, written last.
"""

import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint import metadata as dcp_metadata
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor

from mmvisionllama.checkpoint.single_file import read_file
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import why_no_file
from mmvisionllama.host_internals import SHARDED_GLOBALS

SHARDED = ".sharded"  # of folders that hold a checkpoint in parts
COMMON, METADATA = "common.pth", ".metadata"
DEPTH = 100  # of dicts and lists in each other, beyond which a checkpoint is damaged
_GROUP_BYTES = 1 << 30  # read at a time
Maker = Callable[[torch.Size, torch.dtype], Tensor]


def is_sharded(path: Path) -> bool:
    """Whether a checkpoint is a folder of shards."""
    return path.suffix == SHARDED and path.is_dir()


def split_shards(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, DTensor]]:
    """Return what is common to all processes, and the sharded tensors by name."""
    parts: dict[str, DTensor] = {}

    def take(name: str, x: Tensor) -> Tensor:
        if not isinstance(x, DTensor):
            return x
        parts[name] = x
        return torch.empty(0)

    return with_tensors(content, take), parts


def with_tensors(value: Any, change: Callable[[str, Tensor], Tensor], name: str = "") -> Any:
    """Copy a nest of dicts and lists with other tensors: ``change(name, tensor)``, keys joined by ``/``.

    Raises: CheckpointError: for a nest that nothing sound has, e.g. a dict that holds itself.
    """
    if name.count("/") > DEPTH:
        raise CheckpointError(f"nested too deeply: {name[:80]}...")
    if isinstance(value, Tensor):
        return change(name, value)
    if isinstance(value, dict):
        copied = copy(value)  # keeps the attributes of an OrderedDict
        for key, item in value.items():
            copied[key] = with_tensors(item, change, f"{name}/{key}".lstrip("/"))
        return copied
    if isinstance(value, list):
        return [with_tensors(item, change, f"{name}/{index}") for index, item in enumerate(value)]
    return value


def write_parts(folder: Path, parts: dict[str, DTensor], group: dist.ProcessGroup | None) -> None:
    """Write the shards of this process, together with all others of ``group``.

    Raises: CheckpointError: in all processes, if one of them cannot.
    """
    with _failures_of(f"{folder} cannot be written"):
        writer = dcp.FileSystemWriter(folder, single_file_per_rank=True, sync_files=True)
        dcp.save(parts, storage_writer=writer, process_group=group, no_dist=group is None)


def read_parts(
    folder: Path, make: Maker = torch.empty, group: dist.ProcessGroup | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Read the sharded tensors, whoever saved them, a gigabyte or one tensor at a time.

    Args:
        make: ``make(shape, dtype=...)`` returns a tensor to fill, of which a process may hold a part.
        group: The processes that read together; None: this one alone.
    Raises: CheckpointError: if a file is missing or damaged.
    """
    reader = _Reader(folder)
    for names in _groups(reader.read_metadata()):
        found = {name: make(size, dtype=dtype) for name, size, dtype in names}
        with _failures_of(f"{folder} is a damaged checkpoint"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # no_dist asks for that
            dcp.load(found, storage_reader=reader, process_group=group, no_dist=group is None)
        yield from found.items()


def read_common(folder: Path) -> dict[str, Any]:
    """Read what is common to all processes; sharded tensors are empty ones in it."""
    file = folder / COMMON
    if problem := why_no_file(file):
        raise CheckpointError(f"checkpoint {file} is {problem}")
    return read_file(file)


def read_sharded(
    folder: Path, make: Maker = torch.empty, group: dist.ProcessGroup | None = None
) -> dict[str, Any]:
    """Return what ``folder`` holds as an ordinary checkpoint does; for the arguments see ``read_parts``."""
    parts = dict(read_parts(folder, make, group))
    return with_tensors(read_common(folder), lambda name, x: parts.get(name, x))


def files_in(folder: Path) -> list[Path]:
    """List the files that a manifest has to vouch for."""
    files = [folder / COMMON, folder / METADATA, *folder.glob("*.distcp")]
    return sorted(x for x in files if x.is_file())


class _Reader(dcp.FileSystemReader):
    """torch's reader, which runs no code from a file."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> dcp_metadata.Metadata:
        path = Path(self.path, METADATA)
        if problem := why_no_file(path):
            raise CheckpointError(f"{self.path} is a damaged checkpoint: {METADATA} is {problem}")
        try:
            with path.open("rb") as file:
                metadata = _Unpickler(file).load()
            _require_sizes(metadata, Path(self.path))
        except Exception as error:  # pickle fails on damaged bytes by almost any error
            raise CheckpointError(f"{self.path} is a damaged checkpoint: {METADATA}: {error}") from error
        if metadata.storage_meta is None:
            metadata.storage_meta = dcp_metadata.StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == dcp_metadata.__name__ and name in _DESCRIPTIONS:
            return getattr(dcp_metadata, name)
        if (module, name) in SHARDED_GLOBALS:
            return SHARDED_GLOBALS[module, name]
        if module.startswith("pathlib") and name == "PosixPath":
            return PurePosixPath
        found = getattr(torch, name, None) if module == "torch" else None
        if found is torch.Size or isinstance(found, torch.dtype):
            return found
        raise pickle.UnpicklingError(f"it holds {module}.{name}, and loading that could run code")


_DESCRIPTIONS = (
    "Metadata",
    "TensorStorageMetadata",
    "TensorProperties",
    "ChunkStorageMetadata",
    "MetadataIndex",
    "StorageMeta",
)


def _groups(metadata: dcp_metadata.Metadata) -> Iterator[list[tuple[str, torch.Size, torch.dtype]]]:
    group, held = [], 0
    for name, stored in sorted(metadata.state_dict_metadata.items()):
        size = stored.size.numel() * stored.properties.dtype.itemsize
        if group and held + size > _GROUP_BYTES:
            yield group
            group, held = [], 0
        group.append((name, stored.size, stored.properties.dtype))
        held += size
    if group:
        yield group


def _require_sizes(metadata: Any, folder: Path) -> None:
    """Raises: ValueError: if this describes no tensors, or more than the files can hold."""
    entries = getattr(metadata, "state_dict_metadata", None)
    if not isinstance(metadata, dcp_metadata.Metadata) or not isinstance(entries, dict):
        raise ValueError("it describes no checkpoint")
    told = 0
    for name, stored in entries.items():
        if not isinstance(name, str) or not isinstance(stored, dcp_metadata.TensorStorageMetadata):
            raise ValueError(f"{name!r:.80} is no tensor")
        told += stored.size.numel() * stored.properties.dtype.itemsize
    held = sum(file.stat().st_size for file in folder.glob("*.distcp"))
    if told > held:
        raise ValueError(f"it tells of {told:,} bytes, the shards have {held:,}")


@contextmanager
def _failures_of(what: str) -> Iterator[None]:
    try:
        yield
    except CheckpointException as error:  # it derives from BaseException
        causes = "; ".join(
            f"process {rank}: {type(cause).__name__}: {cause}" for rank, (cause, _) in error.failures.items()
        )
        raise CheckpointError(f"{what}: {causes}") from error
