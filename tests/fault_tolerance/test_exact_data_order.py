"""The data pipeline starts anywhere without passing what lies before, and draws the same there."""

import itertools
import pickle
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset, Sampler

from mmvisionllama.fault_tolerance.exact_data_order import (
    EndlessSampler,
    KeyedIndex,
    batches_from,
    has_exact_order,
    reseed,
    seek,
)
from mmvisionllama.fault_tolerance.random_state import (
    capture_random_state,
    randomness_by,
    restore_random_state,
)
from mmvisionllama.training.runner import ResumableRunner


@DATASETS.register_module()
class Numbers(Dataset):
    def __init__(self, count: int = 20) -> None:
        self.metainfo = dict(classes=("number",))
        self.count, self.pipeline, self.asked = count, "first", []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        assert type(index) is int
        self.asked.append(index)
        return index, random.random(), float(np.random.rand()), float(torch.rand(1))


@DATA_SAMPLERS.register_module()
class CountingSampler(Sampler):
    """One that this package does not know: it can only be walked through."""

    def __init__(self, dataset: Dataset, seed: int | None = None) -> None:
        self.dataset, self.epoch = dataset, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        yield from ((index + self.epoch) % len(self.dataset) for index in range(len(self.dataset)))


def loader(sampler: str = "DefaultSampler", count: int = 20, seed: int = 5, **changes: Any) -> Any:
    cfg = dict(
        batch_size=3,
        num_workers=0,
        collate_fn=dict(type="default_collate"),
        sampler=dict(type=sampler),
        dataset=dict(type="Numbers", count=count),
    )
    return ResumableRunner.build_dataloader({**cfg, **changes}, seed=seed)


def batches(dataloader: Any, step: int, count: int) -> list[list[list[float]]]:
    taken = itertools.islice(batches_from(dataloader, step), count)
    return [[x.tolist() for x in batch] for batch in taken]


@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler", "CountingSampler"])
@pytest.mark.parametrize("step", [0, 1, 6, 7, 8, 20])
def test_a_run_that_begins_later_draws_what_the_whole_run_drew_there(sampler: str, step: int) -> None:
    assert batches(loader(sampler), step, 10) == batches(loader(sampler), 0, step + 10)[step:]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_draw_what_the_main_process_draws(workers: int) -> None:
    given = loader("InfiniteSampler", num_workers=workers)
    assert batches(given, 3, 6) == batches(loader("InfiniteSampler"), 3, 6)


@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler"])
def test_step_a_million_is_reached_without_drawing_what_lies_before(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, permute = [], torch.randperm
    monkeypatch.setattr(
        torch, "randperm", lambda *args, **kwargs: made.append(args) or permute(*args, **kwargs)
    )
    given = loader(sampler, count=100)
    made.clear()
    (first,) = batches(given, 1_000_000, 1)
    assert len(made) == 1
    assert given.dataset.asked == [int(x) for x in first[0]]


@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler"])
def test_an_epoch_has_each_sample_once_and_its_own_order(sampler: str) -> None:
    draws = [index for batch in batches(loader(sampler, count=21), 0, 14) for index in batch[0]]
    first, second = draws[:21], draws[21:]
    assert sorted(first) == sorted(second) == list(range(21))
    assert first != second


def test_two_processes_share_the_endless_stream_of_one() -> None:
    streams = []
    for rank, world_size in ((0, 1), (0, 2), (1, 2)):
        sampler = EndlessSampler(Numbers(7), seed=1)
        sampler.rank, sampler.world_size = rank, world_size
        sampler.skip(3)
        streams.append(list(itertools.islice(sampler, 20)))
    whole, first, second = streams
    assert [x for pair in zip(first, second, strict=True) for x in pair][: len(whole) - 3] == whole[3:]


def test_the_same_sample_is_augmented_anew_in_each_epoch_and_by_each_seed() -> None:
    def of_sample_4(dataloader: Any) -> list[tuple[float, ...]]:
        found = [list(zip(*batch, strict=True)) for batch in batches(dataloader, 0, 14)]
        return [tuple(x[1:]) for batch in found for x in batch if x[0] == 4]

    first, second = of_sample_4(loader(count=21))
    other, _ = of_sample_4(loader(count=21, seed=6))
    assert len({*first, *second, *other}) == 9


def test_another_seed_after_a_resume_gives_the_run_of_that_seed() -> None:
    given = loader("InfiniteSampler", seed=1)
    reseed(given, 5)
    assert batches(given, 4, 5) == batches(loader("InfiniteSampler", seed=5), 4, 5)


def test_loading_leaves_the_random_state_of_the_model_alone() -> None:
    before = capture_random_state()
    batches(loader("InfiniteSampler"), 0, 3)
    list(loader())
    after = capture_random_state()
    assert torch.equal(before["torch"], after["torch"])
    assert torch.equal(before["numpy"]["keys"], after["numpy"]["keys"])
    assert torch.equal(before["python"]["words"], after["python"]["words"])


def test_a_restored_random_state_draws_the_same_again() -> None:
    def draw() -> tuple[float, ...]:
        return random.gauss(0, 1), random.random(), np.random.randn(), np.random.rand(), float(torch.rand(1))

    draw()
    state = pickle.loads(pickle.dumps(capture_random_state()))
    first = draw(), draw()
    restore_random_state(state)
    assert (draw(), draw()) == first


def test_randomness_by_a_key_is_that_of_the_key_alone() -> None:
    def drawn(*key: int) -> tuple[float, ...]:
        with randomness_by(*key):
            return random.random(), float(np.random.rand()), float(torch.rand(1))

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    values = [drawn(*key) for key in ((1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3))]
    assert len({x for one in values for x in one}) == 12


def test_a_dataset_with_keys_is_in_all_else_the_dataset() -> None:
    dataset = loader().dataset
    assert (len(dataset), dataset.metainfo, dataset.count) == (20, dict(classes=("number",)), 20)
    dataset.pipeline = "second"  # as hooks exchange pipelines
    assert dataset.dataset.pipeline == "second"
    assert not hasattr(dataset, "nothing")
    copied = pickle.loads(pickle.dumps(dataset))
    assert (copied.pipeline, copied.seed) == ("second", 5)


def test_an_index_with_a_key_is_an_index_that_crosses_processes() -> None:
    draw = pickle.loads(pickle.dumps(KeyedIndex(5, (1, 2))))
    assert (draw, draw.key, list(range(9))[draw]) == (5, (1, 2), 5)


def test_mmdets_batches_skip_into_an_epoch() -> None:
    @DATA_SAMPLERS.register_module(force=True)
    class Pairs(Sampler):
        def __init__(self, sampler: Sampler, batch_size: int) -> None:
            self.sampler, self.batch_size = sampler, batch_size

        def __len__(self) -> int:
            return len(self.sampler) // 2

        def __iter__(self) -> Iterator[list[int]]:
            draws = iter(self.sampler)
            return iter(list(zip(draws, draws, strict=True)))

    whole = list(loader(batch_sampler=dict(type="Pairs")))
    part = loader(batch_sampler=dict(type="Pairs"))
    seek(part, 0, 6)
    assert [x[0].tolist() for x in part] == [x[0].tolist() for x in whole[6:]]
    assert [x[1].tolist() for x in loader(batch_sampler=dict(type="Pairs"))] == [x[1].tolist() for x in whole]


def test_loaders_that_no_config_describes_stay_what_they_are() -> None:
    dataloader = torch.utils.data.DataLoader(Numbers())
    assert ResumableRunner.build_dataloader(dataloader, seed=1) is dataloader
    assert not has_exact_order(dataloader)
