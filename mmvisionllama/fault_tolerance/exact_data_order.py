"""Exact data order: loading starts at any batch of any epoch, with the same augmentation by any worker.

Each sample carries a key (epoch, place in the epoch) from the sampler, in the main process, to the dataset,
in a worker. Augmentation follows from the seed and this key, so neither the number of workers nor a restart
can change it, and a place is reached without passing through those before it.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader, Dataset, Sampler

from mmvisionllama.fault_tolerance.random_state import randomness_by
from mmvisionllama.fault_tolerance.worker_init import worker_init_config
from mmvisionllama.host_internals import shortened_dataset

_ENDLESS = ("InfiniteSampler", "MultiSourceSampler")  # of mmengine and of mmdet


class KeyedIndex(int):
    """The index of a sample, which also knows when it was drawn.

    Attributes:
        key: (epoch, place among the draws of all processes in this epoch).
    """

    key: tuple[int, int]

    def __new__(cls, index: int, key: tuple[int, int] = (0, 0)) -> "KeyedIndex":
        draw = super().__new__(cls, index)
        draw.key = key
        return draw


class EndlessSampler(InfiniteSampler):
    """mmengine's InfiniteSampler, but each epoch has its own order, so that any place is reached at once."""

    start = 0

    def skip(self, num_samples: int) -> None:
        """Begin the next iteration after ``num_samples`` draws of this process, counted from the first."""
        self.start = num_samples

    def __iter__(self) -> Iterator[int]:
        place = self.rank + self.start * self.world_size
        while True:
            epoch, first = divmod(place, self.size)
            mine = self._order(epoch)[first :: self.world_size]
            place += len(mine) * self.world_size
            yield from mine

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(self.seed + epoch)
        return torch.randperm(self.size, generator=generator).tolist()


class KeyedSampler(Sampler):
    """Give every index that another sampler draws its key, from any place on.

    Args:
        dataset: What is drawn from.
        sampler: Config of the sampler that decides the order.
        seed: Seed of the order, None for one that the processes agree on.
    """

    def __init__(self, dataset: Dataset, sampler: dict[str, Any], seed: int | None = None) -> None:
        built = DATA_SAMPLERS.build(sampler, default_args={"dataset": dataset, "seed": seed})
        if type(built) is InfiniteSampler:
            built = EndlessSampler(dataset, shuffle=built.shuffle, seed=built.seed)
        self.sampler = built
        self.dataset = dataset
        self.epoch = 0
        self.start = 0

    @property
    def endless(self) -> bool:
        """Whether it never ends by itself; its length does not tell."""
        return any(cls.__name__ in _ENDLESS for cls in type(self.sampler).__mro__)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch, where the sampler has any."""
        self.epoch = epoch
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[KeyedIndex]:
        start, self.start = self.start, 0
        if isinstance(self.sampler, EndlessSampler):
            self.sampler.skip(start)
            draws = iter(self.sampler)
        else:
            draws = itertools.islice(self.sampler, start, None)
        rank, world_size = getattr(self.sampler, "rank", 0), getattr(self.sampler, "world_size", 1)
        for count, index in enumerate(draws, start):
            # Processes take turns, so one process and two that share its batches draw under the same keys.
            yield KeyedIndex(index, (self.epoch, count * world_size + rank))


class SkippingBatchSampler(Sampler):
    """Make batches as another batch sampler does, without the first ones where a run goes on.

    Args:
        sampler: Draws single indices.
        batch_size: Indices of a batch.
        batch_sampler: Config of the batch sampler that groups them.
    """

    def __init__(self, sampler: KeyedSampler, batch_size: int, batch_sampler: dict[str, Any]) -> None:
        given = {"sampler": sampler, "batch_size": batch_size}
        self.batch_sampler = DATA_SAMPLERS.build(batch_sampler, default_args=given)
        self.sampler = sampler
        self.batch_size = batch_size
        self.start = 0

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        return itertools.islice(self.batch_sampler, start, None)


class KeyedDataset(Dataset):
    """A dataset whose randomness follows from the seed and the key of each draw; else it is ``dataset``.

    Args:
        dataset: Config of the dataset.
    """

    def __init__(self, dataset: dict[str, Any], seed: int) -> None:
        self.__dict__.update(dataset=DATASETS.build(dataset), seed=seed)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Hooks exchange pipelines.
        setattr(self.dataset, name, value)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, KeyedIndex):
            return self.dataset[index]
        with randomness_by(self.seed, *index.key, int(index)):
            return self.dataset[int(index)]


def exact_order_config(dataloader: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the config of the dataloader that serves the same samples, but from any place and by key."""
    cfg = {
        **dataloader,
        "dataset": {"type": KeyedDataset, "dataset": dataloader["dataset"], "seed": seed},
        "sampler": {"type": KeyedSampler, "sampler": dataloader["sampler"]},
        # An iterator draws a seed for its workers; taken from the global generator, that would be one more
        # draw after every restart.
        "generator": torch.Generator().manual_seed(seed),
    }
    cfg["worker_init_fn"] = worker_init_config(dataloader, seed)
    cfg.pop("disable_subprocess_warning", None)
    if cfg.get("batch_sampler") is not None:
        cfg["batch_sampler"] = {"type": SkippingBatchSampler, "batch_sampler": cfg["batch_sampler"]}
    return cfg


def has_exact_order(dataloader: DataLoader) -> bool:
    """Whether ``seek`` works on this dataloader."""
    return isinstance(_sampler_of(dataloader), KeyedSampler)


def reseed(dataloader: DataLoader, seed: int) -> None:
    """Let order and randomness follow from another seed than the dataloader was built with."""
    dataset = dataloader.dataset
    while not isinstance(dataset, KeyedDataset):
        dataset = shortened_dataset(dataset)
    dataset.__dict__["seed"] = seed
    sampler = _sampler_of(dataloader).sampler
    if hasattr(sampler, "seed"):
        sampler.seed = seed


def seek(dataloader: DataLoader, epoch: int, batch: int) -> None:
    """Let the next iteration over ``dataloader`` begin at a batch of an epoch."""
    sampler = _sampler_of(dataloader)
    sampler.set_epoch(epoch)
    batch *= getattr(dataloader, "batches_per_step", 1)
    if isinstance(dataloader.batch_sampler, SkippingBatchSampler):
        dataloader.batch_sampler.start = batch
    else:
        sampler.start = batch * dataloader.batch_size


def batches_from(dataloader: DataLoader, step: int) -> Iterator[Any]:
    """Yield batches without end, epoch after epoch, beginning ``step`` batches after the first one of all."""
    sampler = _sampler_of(dataloader)
    if sampler.endless:
        seek(dataloader, 0, step)
        yield from dataloader
        return
    epoch, batch = divmod(step, len(dataloader))
    while True:
        seek(dataloader, epoch, batch)
        yield from dataloader
        epoch, batch = epoch + 1, 0


def _sampler_of(dataloader: DataLoader) -> Any:
    wrapped = isinstance(dataloader.batch_sampler, SkippingBatchSampler)
    return dataloader.batch_sampler.sampler if wrapped else dataloader.sampler
