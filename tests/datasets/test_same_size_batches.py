"""Batches of an evaluation: images of one size, all of them once, and the last one last."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from PIL import Image

from mmvisionllama.datasets.same_size_batches import SameSizeBatchSampler
from mmvisionllama.errors import ArgumentError

SIZES = [(8, 6), (6, 8), (8, 6), (8, 6), (5, 5), (6, 8), (8, 6), (5, 5), (6, 8), (8, 6), (8, 6)]


class Infos(list):
    """A data set that has only what it knows of its images."""

    def get_data_info(self, index: int) -> dict[str, Any]:
        return self[index]


ANNOTATED = Infos({"width": width, "height": height} for width, height in SIZES)


def sampler_of(infos: Infos, rank: int = 0, processes: int = 1) -> DefaultSampler:
    sampler = DefaultSampler(infos, shuffle=False)
    sampler.rank, sampler.world_size = rank, processes
    sampler.num_samples = -(-len(infos) // processes)
    sampler.total_size = sampler.num_samples * processes
    return sampler


@pytest.mark.parametrize("size", [1, 2, 3, 99])
def test_every_image_comes_once_with_others_of_its_size_and_the_last_comes_last(size: int) -> None:
    batches = SameSizeBatchSampler(sampler_of(ANNOTATED), size)
    made = list(batches)
    given = list(chain(*made))
    assert sorted(given) == list(range(len(SIZES))) and made[-1][-1] == len(SIZES) - 1
    assert all(len({SIZES[index] for index in batch}) == 1 and len(batch) <= size for batch in made)
    assert len(batches) == len(made) and batches.places == given and list(batches) == made
    assert len(made) == sum(-(-SIZES.count(x) // size) for x in {*SIZES})
    if size == 1:
        assert given == list(range(len(SIZES)))


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_what_several_processes_gather_in_turns_has_every_image_once(processes: int) -> None:
    samplers = [sampler_of(ANNOTATED, rank, processes) for rank in range(processes)]
    assert processes * len(samplers[0]) > len(SIZES)  # some are repeated
    parts = [list(chain(*SameSizeBatchSampler(sampler, 3))) for sampler in samplers]
    gathered = [index for turn in zip(*parts, strict=True) for index in turn][: len(SIZES)]
    assert sorted(gathered) == list(range(len(SIZES)))


def test_sizes_are_read_from_files_and_an_image_of_unknown_size_goes_alone(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[274] = 6
    for number, size in enumerate([(8, 6), (8, 6), (8, 6), (6, 8)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.jpg", **({"exif": turned} if number == 1 else {}))
    (tmp_path / "4.jpg").write_bytes(b"no image")
    infos = Infos({"img_path": str(tmp_path / f"{number}.jpg")} for number in (0, 4, 1, 2, 3, 4))
    assert list(SameSizeBatchSampler(sampler_of(infos), 4)) == [[1], [2], [0, 3], [4], [5]]


def test_parts_of_a_joined_data_set_are_not_mixed_as_each_may_resize_differently() -> None:
    in_memory = Infos({"img": np.zeros((side, side), np.uint8)} for side in (8, 8, 9, 8))
    joined = Infos([*in_memory, *in_memory])
    joined.cumulative_sizes = [4, 8]  # of mmengine's ConcatDataset
    assert list(SameSizeBatchSampler(sampler_of(joined), 4)) == [[2], [0, 1, 3], [6], [4, 5, 7]]


@pytest.mark.parametrize("sampler", [DefaultSampler(ANNOTATED), InfiniteSampler(ANNOTATED), [0, 1]])
def test_samplers_of_a_training_are_refused(sampler: Any) -> None:
    told = r"sampler=dict\(type='DefaultSampler', shuffle=False\)"
    with pytest.raises(ArgumentError, match=f"got {type(sampler).__name__}.*{told}"):
        SameSizeBatchSampler(sampler, 2)
