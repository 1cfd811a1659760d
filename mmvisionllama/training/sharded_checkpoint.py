"""Save a sharded training: every process its own shards, complete or not at all."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, is_main_process
from torch import Tensor
from torch.distributed.tensor import DTensor

from mmvisionllama.checkpoint.manifest import NAMED, ShardedManifest, non_finite_in
from mmvisionllama.checkpoint.saving import flush, publish_sharded, temporary_of
from mmvisionllama.checkpoint.sharded import (
    COMMON,
    METADATA,
    SHARDED,
    read_parts,
    split_shards,
    with_tensors,
    write_parts,
)
from mmvisionllama.errors import CheckpointError
from mmvisionllama.fault_tolerance.collectives import CPUCollectives
from mmvisionllama.files import sha256_of
from mmvisionllama.runner_parts import local
from mmvisionllama.training.sharding import ShardedDataParallel


def sharded_name(name: str) -> str:
    """Return the name of the folder that takes the place of a file ``name``."""
    return Path(name).with_suffix(SHARDED).name


def gathered(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with whole tensors, on the CPU of the first process; the others keep none."""

    def whole(name: str, x: Tensor) -> Tensor:
        x = x.full_tensor() if isinstance(x, DTensor) else x
        return x.cpu() if is_main_process() else torch.empty(0)

    return with_tensors(content, whole)


def save_sharded(
    content: dict[str, Any], target: Path, model: ShardedDataParallel, collectives: CPUCollectives
) -> ShardedManifest:
    """Save a checkpoint as the folder ``target``, by all processes together.

    Every process flushes its file, reads its shards back and compares them bit by bit; then the first one
    writes the manifest and lets the folder appear, see ``publish_sharded``.

    Returns: The manifest, as the first process has written it.
    Raises: CheckpointError: in all processes, if one of them could not write or read back.
    """
    common, parts = split_shards(content)
    save = _Save(temporary_of(target), common, parts, model, collectives)
    try:
        # Each of them either talks to the other processes or can fail by itself, not both.
        for step in (save.prepare, save.write, save.flush, save.compare, save.describe):
            save.together(step)
        manifest = save.manifest()
        manifest = save.together(lambda: publish_sharded(target, manifest) if is_main_process() else manifest)
    finally:
        if is_main_process():
            shutil.rmtree(save.folder, ignore_errors=True)
    return collectives.of_first(manifest)


class _Save:
    def __init__(
        self,
        folder: Path,
        common: dict[str, Any],
        parts: dict[str, DTensor],
        model: ShardedDataParallel,
        collectives: CPUCollectives,
    ) -> None:
        self.folder, self.common, self.parts = folder, common, parts
        self.model, self.collectives = model, collectives
        self.files: dict[str, tuple[int, str]] = {}

    def together(self, step: Callable[[], Any]) -> Any:
        """Do a step in all processes, and fail in all of them if it does in one."""
        problem, result = None, None
        try:
            result = step()
        except (OSError, CheckpointError) as error:
            problem = str(error)
        problems = [x for x in self.collectives.gathered(problem) if x]
        problem = self.collectives.of_first(problems[0] if problems else None)
        if problem is not None:
            raise CheckpointError(problem)
        return result

    def prepare(self) -> None:
        if is_main_process():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            buffer = io.BytesIO()  # torch would hide what the disk says
            torch.save(self.common, buffer)
            (self.folder / COMMON).write_bytes(buffer.getbuffer())

    def write(self) -> None:
        write_parts(self.folder, self.parts, self.model.group)

    def flush(self) -> None:
        for file in self.own():
            flush(file)

    def compare(self) -> None:
        """Read back what this process wrote."""
        read = read_parts(self.folder, self.model.empty, self.model.group)
        different = [name for name, x in read if not _same(local(x), local(self.parts[name]))]
        if different:
            raise CheckpointError(f"{self.folder} cannot be read back: {different[0]} is another tensor")

    def describe(self) -> None:
        self.files = {file.name: (file.stat().st_size, sha256_of(file)) for file in self.own()}

    def own(self) -> list[Path]:
        """List the files that this process has written."""
        common = [self.folder / COMMON, self.folder / METADATA] if is_main_process() else []
        return [*common, *self.folder.glob(f"__{get_rank()}_*.distcp")]

    def manifest(self) -> ShardedManifest:
        common = self.common if is_main_process() else {}
        own = non_finite_in(common, ((name, local(x)) for name, x in self.parts.items()))
        found = self.collectives.gathered((self.files, own))
        files = {name: entry for files, _ in found for name, entry in files.items()}
        names = [name for _, names in found for name in names]
        return ShardedManifest.of(self.folder, self.common, files, list(dict.fromkeys(names))[:NAMED])


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether all bits are the same; NaN is not equal to itself."""
    as_bits = [x.detach().cpu().contiguous().view(torch.uint8) for x in (one, other)]
    return torch.equal(*as_bits)
