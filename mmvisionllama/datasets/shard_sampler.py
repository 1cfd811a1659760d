"""Order of samples for slow disks: shard after shard, shuffled among neighbours."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from numpy.typing import NDArray

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ShardSampler(DefaultSampler):
    """Draw the samples of ``ShardedImages`` so that each process reads a few shards at a time, not all.

    Every epoch shuffles the shards and cuts their row into streams of equal length. A stream is read in
    windows of ``buffer`` samples, each of which is shuffled. Processes take turns with the streams, so with
    as many streams as processes each process reads shards of its own. All samples are drawn once an epoch, as
    by mmengine's ``DefaultSampler``; the order is a function of the seed, the epoch and the streams.

    Args:
        dataset: ``ShardedImages``.
        buffer: Samples of a window.
        streams: As many as processes by default. A fixed number, which their number should divide, gives one
            order for any number of processes, as a resume by another number of them wants.
        kwargs: ``seed``, ``round_up`` as in ``DefaultSampler``; and ``shuffle``: False reads in the order in
            which samples lie in the shards.

    Raises:
        ArgumentError: if the samples do not lie in shards.
    """

    @checked
    def __init__(
        self, dataset: Any, *, buffer: Positive = 4096, streams: Positive | None = None, **kwargs: Any
    ) -> None:
        if not hasattr(dataset, "shard_places"):
            raise ArgumentError(
                f"ShardSampler draws from mmvisionllama.ShardedImages, got {type(dataset).__name__}: use "
                "sampler=dict(type='DefaultSampler', shuffle=True)"
            )
        super().__init__(dataset, **kwargs)
        self.buffer, self.streams = buffer, streams or self.world_size
        shards, offsets = dataset.shard_places()
        order = np.lexsort((offsets, shards))
        self._shards = np.split(order, np.flatnonzero(np.diff(shards[order])) + 1)

    def __iter__(self) -> Iterator[int]:
        order = self._order()
        if self.round_up:
            order = np.resize(order, self.total_size)
        return iter(order[self.rank : self.total_size : self.world_size].tolist())

    def _order(self) -> NDArray[np.int64]:
        """Return all indices in the order in which the processes together draw them."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        shards = self._shards
        if self.shuffle:
            shards = [shards[x] for x in torch.randperm(len(shards), generator=generator).tolist()]
        streams = np.array_split(np.concatenate(shards), self.streams)
        if self.shuffle:
            streams = [self._in_windows(x, generator) for x in streams]
        # The first streams may have a sample more: then it is the last of all.
        least = len(streams[-1])
        together = np.stack([x[:least] for x in streams], axis=1).ravel()
        return np.concatenate([together, *(x[least:] for x in streams)])

    def _in_windows(self, stream: NDArray[np.int64], generator: torch.Generator) -> NDArray[np.int64]:
        windows = [stream[start : start + self.buffer] for start in range(0, len(stream), self.buffer)]
        shuffled = [x[torch.randperm(len(x), generator=generator).numpy()] for x in windows]
        return np.concatenate(shuffled) if shuffled else stream
