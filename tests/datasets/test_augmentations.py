"""3-Augment, flips and erasing: odds, draws and distributions of their definitions."""

import numpy as np
import pytest
import torch
from mmpretrain.datasets.transforms import RandomErasing as HostRandomErasing
from numpy.typing import NDArray

from mmvisionllama.datasets.augmentations import RandomErasing, RandomFlip, ThreeAugment


def picture() -> NDArray:
    return np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def kind(result: NDArray, original: NDArray) -> str:
    if np.ptp(result.astype(int), axis=2).max() == 0:
        return "grey"
    inverted = np.where(original < 128, original, 255 - original)
    return "solarised" if np.array_equal(result, inverted) else "blurred"


def test_exactly_one_of_the_three_happens_each_at_even_odds() -> None:
    np.random.seed(0)
    augment, original = ThreeAugment(color_jitter=0.0), picture()
    kinds = [kind(augment(dict(img=original.copy()))["img"], original) for _ in range(600)]
    for name in ("grey", "solarised", "blurred"):
        assert kinds.count(name) / len(kinds) == pytest.approx(1 / 3, abs=0.06)


def test_blurring_smooths_by_radii_of_the_range() -> None:
    np.random.seed(0)
    augment, original = ThreeAugment(color_jitter=0.0), picture()
    results = [augment(dict(img=original.copy()))["img"] for _ in range(200)]
    spreads = [result.std() for result in results if kind(result, original) == "blurred"]
    assert min(spreads) < 0.4 * original.std()  # a radius near 2 px
    assert max(spreads) > 0.9 * original.std()  # one near 0.1 px


def test_the_jitter_changes_colours_and_keeps_type_and_size() -> None:
    np.random.seed(0)
    result = ThreeAugment()(dict(img=picture()))["img"]
    assert (result.dtype, result.shape) == (np.uint8, (16, 24, 3))
    np.random.seed(0)
    assert not np.array_equal(ThreeAugment(color_jitter=0.0)(dict(img=picture()))["img"], result)


def test_the_same_seed_gives_the_same_picture() -> None:
    augment = ThreeAugment()
    results = []
    for _ in range(2):
        np.random.seed(5)
        results.append(augment(dict(img=picture()))["img"])
    assert np.array_equal(*results)


def test_flips_mirror_the_image_and_say_so() -> None:
    np.random.seed(0)
    flip, original = RandomFlip(prob=0.3), picture()
    results = [flip(dict(img=original)) for _ in range(500)]
    assert np.mean([x["flip"] for x in results]) == pytest.approx(0.3, abs=0.06)
    for result in results[:20]:
        assert np.array_equal(result["img"], original[:, ::-1] if result["flip"] else original)
        assert result["flip_direction"] == ("horizontal" if result["flip"] else None)


def test_erasing_takes_the_hosts_rectangles_and_noise_of_its_distribution() -> None:
    given = dict(erase_prob=0.5, mode="rand", fill_color=[100, 120, 5], fill_std=[50, 30, 20])
    noise, places = {}, {}
    for kind in (RandomErasing, HostRandomErasing):
        torch.manual_seed(0)
        erase, places[kind], noise[kind] = kind(**given), [], []
        for seed in range(60):
            np.random.seed(seed)
            result = erase(dict(img=np.full((64, 64, 3), 255, np.uint8)))["img"]
            rows, columns = np.nonzero((result != 255).any(axis=2))
            places[kind].append((rows.min(), rows.max(), columns.min(), columns.max()) if len(rows) else None)
            noise[kind].append(result[rows, columns])
    assert places[RandomErasing] == places[HostRandomErasing]
    ours, theirs = (np.concatenate(noise[x]).astype(float) for x in (RandomErasing, HostRandomErasing))
    assert np.allclose(ours.mean(0), theirs.mean(0), atol=1)
    assert np.allclose(ours.std(0), theirs.std(0), atol=1)
    assert np.allclose(
        np.quantile(ours, (0.1, 0.5, 0.9), axis=0), np.quantile(theirs, (0.1, 0.5, 0.9), axis=0), atol=2
    )
