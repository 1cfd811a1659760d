"""The augmentation of DeiT III."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mmvisionllama.datasets.three_augment import ThreeAugment


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
