"""A sample of random damage; by hand there is more: see ``fuzz.py``."""

import warnings

from tests.fault_tolerance.fuzz import TARGETS, fuzz


def test_any_damage_gives_a_reason_no_hang_and_the_next_good_checkpoint() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = fuzz(cases=300, seed=1)
    assert report.failures == []
    assert report.rejected > 100
    assert len({x.partition(":")[0] for x in report.kinds}) == len(TARGETS)
