"""RandAugment against mmpretrain's: the same draws from one seed, the same pictures up to rounding."""

from collections import Counter

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpretrain.datasets import transforms as host
from numpy.typing import NDArray

from mmvisionllama.datasets.rand_augment import RandAugment

POLICY = dict(
    policies="timm_increasing",
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
    hparams=dict(pad_val=[104, 116, 124], interpolation="bicubic"),
)
IMAGE = np.random.default_rng(0).integers(20, 200, (32, 48, 3), dtype=np.uint8)
COUNT = 15  # of operations


@pytest.fixture(autouse=True)
def _scope_of_the_host() -> None:
    init_default_scope("mmpretrain")


def augmented(augment: host.RandAugment, seed: int) -> tuple[NDArray, float]:
    """Return an image, and the number that its generator gives next."""
    np.random.seed(seed)
    return augment(dict(img=IMAGE.copy()))["img"], np.random.rand()


@pytest.mark.parametrize("index", range(COUNT))
def test_each_operation_draws_its_chance_and_strength_as_the_hosts_does(index: int) -> None:
    changed = 0
    ours, theirs = (kind(**POLICY | dict(num_policies=1)) for kind in (RandAugment, host.RandAugment))
    for augment in (ours, theirs):
        augment.transforms = [augment.transforms[index]] * COUNT
    for seed in range(40):
        (result, after), (expected, after_expected) = augmented(ours, seed), augmented(theirs, seed)
        assert after == after_expected
        difference = np.abs(result.astype(int) - expected)
        assert np.quantile(difference, 0.97) <= 1 and difference.mean() < 0.2
        changed += not np.array_equal(result, IMAGE)
    # Half of the time.
    assert 8 <= changed <= 32


def test_operations_are_chosen_evenly_with_replacement_as_by_the_host() -> None:
    ours, theirs = RandAugment(**POLICY), host.RandAugment(**POLICY)
    assert len(ours.transforms) == COUNT
    np.random.seed(0)
    mine = [ours.random_policy_indices() for _ in range(3000)]
    np.random.seed(0)
    assert mine == [theirs.random_policy_indices() for _ in range(3000)]
    counts = Counter(index for pair in mine for index in pair)
    assert all(count / 6000 == pytest.approx(1 / COUNT, abs=0.015) for count in counts.values())
    assert any(first == second for first, second in mine)


def test_whole_policies_make_the_hosts_pictures() -> None:
    ours, theirs = RandAugment(**POLICY), host.RandAugment(**POLICY)
    for seed in range(60):
        (result, after), (expected, after_expected) = augmented(ours, seed), augmented(theirs, seed)
        assert after == after_expected
        # Equalizing after a shift may carry a rounding far.
        assert np.mean(np.abs(result.astype(int) - expected) > 1) < 0.05


def test_operations_without_a_fast_form_are_the_hosts() -> None:
    policies = [
        dict(type="Cutout", shape=5, prob=1.0),
        dict(type="Shear", magnitude=0.2, prob=1.0, interpolation="nearest"),
    ]
    given = dict(policies=policies, num_policies=2, magnitude_level=5)
    for seed in range(6):
        assert np.array_equal(
            augmented(RandAugment(**given), seed)[0], augmented(host.RandAugment(**given), seed)[0]
        )
