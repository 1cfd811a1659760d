"""Each process reads shards of its own, all draw every sample, and any place is reached again."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvisionllama.datasets import shard_sampler
from mmvisionllama.datasets.shard_sampler import ShardSampler
from mmvisionllama.errors import ArgumentError
from mmvisionllama.fault_tolerance.exact_data_order import batches_from
from mmvisionllama.training.runner import ResumableRunner
from tests.shards.trees import in_shards


class Places:
    """Samples in shards of ``size``, their order in the data set being another one."""

    def __init__(self, count: int, size: int) -> None:
        self.order = np.random.default_rng(1).permutation(count)
        self.size = size

    def __len__(self) -> int:
        return len(self.order)

    def shard_places(self) -> tuple[Any, Any]:
        return self.order // self.size, self.order % self.size


def draws(
    monkeypatch: pytest.MonkeyPatch, places: Places, world: int, epoch: int = 0, **options: Any
) -> list:
    """Return what each process draws."""
    found = []
    for rank in range(world):
        monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda rank=rank: (rank, world))
        sampler = ShardSampler(places, seed=3, **options)
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@pytest.mark.parametrize(("count", "world"), [(100, 1), (100, 4), (103, 4), (5, 4), (3, 4)])
@pytest.mark.parametrize("options", [{}, dict(buffer=4), dict(streams=8), dict(shuffle=False)], ids=repr)
def test_processes_draw_equally_many_and_together_all(
    monkeypatch: pytest.MonkeyPatch, count: int, world: int, options: dict
) -> None:
    found = draws(monkeypatch, Places(count, 10), world, **options)
    assert {len(x) for x in found} == {-(-count // world)}
    assert {*itertools.chain(*found)} == {*range(count)}
    apart = draws(monkeypatch, Places(count, 10), world, round_up=False, **options)
    assert sorted(itertools.chain(*apart)) == list(range(count))


def test_each_process_reads_shards_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(160, 10)
    read = [{int(places.order[x]) // 10 for x in found} for found in draws(monkeypatch, places, 4)]
    assert [len(x) for x in read] == [4] * 4 and len(set.union(*read)) == 16


def test_a_window_is_read_before_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(160, 10)
    (found,) = draws(monkeypatch, places, 1, buffer=20)
    windows = [{int(places.order[x]) // 10 for x in found[start : start + 20]} for start in range(0, 160, 20)]
    assert [len(x) for x in windows] == [2] * 8 and len(set.union(*windows)) == 16
    (plain,) = draws(monkeypatch, places, 1, shuffle=False)
    assert places.order[plain].tolist() == list(range(160))


def test_the_order_follows_from_seed_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(60, 10)
    first, again, later = (draws(monkeypatch, places, 2, epoch=x) for x in (0, 0, 1))
    assert first == again != later


def test_with_fixed_streams_any_number_of_processes_has_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(96, 8)
    (alone,), halves = (draws(monkeypatch, places, x, streams=4) for x in (1, 2))
    assert alone == [x for pair in zip(*halves, strict=True) for x in pair]


def test_a_data_set_of_files_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"ShardSampler draws from mmvisionllama.ShardedImages, got list"):
        ShardSampler([1, 2])
    assert shard_sampler.DATA_SAMPLERS.get("mmvisionllama.ShardSampler") is ShardSampler


@pytest.mark.parametrize("step", [0, 1, 5, 6, 13])
def test_loading_starts_at_any_batch(shards: Path, step: int) -> None:
    pipeline = [dict(type="mmvisionllama.LoadImageFromFile")]
    cfg = dict(
        batch_size=4,
        num_workers=0,
        collate_fn=dict(type="pseudo_collate"),
        sampler=dict(type="mmvisionllama.ShardSampler", buffer=6),
        dataset=dict(type=type(in_shards(shards)), data_root=str(shards), split="train", pipeline=pipeline),
    )
    loader = ResumableRunner.build_dataloader(cfg, seed=5)
    taken = [x["sample_idx"] for x in itertools.islice(batches_from(loader, 0), 16)]
    assert sorted(itertools.chain(*taken[:6])) == list(range(24)) != taken[:6] != taken[6:12]
    assert [x["sample_idx"] for x in itertools.islice(batches_from(loader, step), 2)] == taken[
        step : step + 2
    ]
