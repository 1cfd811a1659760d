"""The split into training and validation."""

from pathlib import Path

import pytest

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import Annotated, FoundData, ImageObject, Sample
from mmvisionllama.finetuning.splits import with_validation


def data(counts: dict[str, int]) -> FoundData:
    samples = [Sample(Path(f"{name}/{i}.png"), name) for name, count in counts.items() for i in range(count)]
    return FoundData("a test", Path(), {"train": tuple(samples)}, tuple(counts))


def test_every_class_gives_the_same_share_and_at_least_one_of_two_images() -> None:
    split = with_validation(data({"many": 50, "few": 2, "one": 1}), seed=0)
    val = [x.label for x in split.parts["val"]]
    assert {name: val.count(name) for name in ("many", "few", "one")} == {"many": 10, "few": 1, "one": 0}
    assert {*split.parts["val"]}.isdisjoint(split.parts["train"])
    assert len(split.parts["val"]) + len(split.parts["train"]) == 53
    assert "11 of 53 images are held out (seed 0)" in split.notes[0]


def test_the_seed_decides_whatever_the_order_of_the_files() -> None:
    one, other = data({"a": 20, "b": 20}), data({"b": 20, "a": 20})
    chosen = [
        {x.image for x in with_validation(x, seed).parts["val"]} for x in (one, other) for seed in (0, 1)
    ]
    assert chosen[0] == chosen[2]
    assert chosen[0] != chosen[1]


def test_a_validation_part_of_its_own_stays() -> None:
    found = data({"a": 4, "b": 4})
    own = FoundData("", Path(), {**found.parts, "val": found.parts["train"][:1]}, found.classes)
    assert with_validation(own, seed=0) is own


def test_images_of_rare_objects_are_held_out_like_those_of_common_ones() -> None:
    common, rare = (ImageObject(name, (0, 0, 1, 1)) for name in ("common", "rare"))
    samples = [
        Sample(Path(f"{i}.png"), Annotated(9, 9, (common, rare) if i < 10 else (common,))) for i in range(100)
    ]
    split = with_validation(FoundData("", Path(), {"train": tuple(samples)}), seed=3)
    assert sum(rare in x.label.objects for x in split.parts["val"]) == 2


def test_a_single_image_is_an_error() -> None:
    with pytest.raises(DataError, match="1 images cannot be split"):
        with_validation(data({"a": 1}), seed=0)
