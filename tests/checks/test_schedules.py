"""A schedule that is not as long as its training is an error that names both lengths."""

from typing import Any

import pytest

from mmvisionllama.checks.schedules import check_schedules
from mmvisionllama.errors import ConfigError

EPOCHS = dict(by_epoch=True, max_epochs=300)
ITERS = dict(by_epoch=False, max_iters=1000)
WARM_UP = dict(type="LinearLR", start_factor=1e-3, begin=0, end=5)


def cosine(**options: Any) -> dict[str, Any]:
    return dict(type="CosineAnnealingLR", **options)


def by_iteration(scheduler: dict[str, Any]) -> dict[str, Any]:
    return {**scheduler, "by_epoch": False}


FITTING = {
    "warm-up and decay": ([WARM_UP, cosine(begin=5, end=300)], EPOCHS),
    "a decay without an end": ([WARM_UP, cosine(begin=5)], EPOCHS),
    "a decay over T_max": ([cosine(T_max=300)], EPOCHS),
    "a warm-up alone": ([WARM_UP], EPOCHS),
    "iterations": ([by_iteration(cosine(end=1000))], ITERS),
    "epochs turned into iterations": ([cosine(end=300, convert_to_iter_based=True)], EPOCHS),
    "a warm-up in iterations": ([by_iteration({**WARM_UP, "end": 500}), cosine(end=300)], EPOCHS),
    "steps before the end": ([dict(type="MultiStepLR", milestones=[200, 299], end=300)], EPOCHS),
    "rate and momentum": ([cosine(end=300), dict(type="CosineAnnealingMomentum", end=300)], EPOCHS),
    "one scheduler": (cosine(end=300), EPOCHS),
    "no scheduler": (None, EPOCHS),
    "several optimizers": (dict(one=[cosine(end=300)], two=cosine(end=300)), EPOCHS),
}
MISFITS = {
    "longer": (
        [cosine(end=400)],
        EPOCHS,
        "CosineAnnealingLR ends at 400 epochs, the training has 300 epochs",
    ),
    "shorter": (
        [WARM_UP, cosine(begin=5, end=100)],
        EPOCHS,
        "ends at 100 epochs, the training has 300 epochs",
    ),
    "T_max": ([cosine(T_max=100)], EPOCHS, "has T_max=100, but goes on for 300 epochs"),
    "a long warm-up": ([by_iteration({**WARM_UP, "end": 1500})], ITERS, "LinearLR ends at 1500 iterations"),
    "never begun": (
        [WARM_UP, cosine(begin=300)],
        EPOCHS,
        "begins at 300 epochs, the training has 300 epochs",
    ),
    "late steps": (
        [dict(type="MultiStepLR", milestones=[200, 330], gamma=0.1, end=300)],
        EPOCHS,
        "has milestones at 330 epochs, the training has 300 epochs",
    ),
    "epochs of a training without": ([cosine(end=1000)], ITERS, "so it never acts; by_epoch=False"),
    "a short momentum": (
        [cosine(end=300), dict(type="CosineAnnealingMomentum", end=30)],
        EPOCHS,
        "param_scheduler.1: CosineAnnealingMomentum ends at 30 epochs",
    ),
    "of one optimizer": (dict(one=[cosine(end=300)], two=cosine(end=3)), EPOCHS, "param_scheduler.two: "),
}


@pytest.mark.parametrize(("schedulers", "train_cfg"), FITTING.values(), ids=FITTING)
def test_schedules_that_fit(schedulers: Any, train_cfg: dict) -> None:
    check_schedules(dict(param_scheduler=schedulers, train_cfg=train_cfg), iterations_of_epoch=100)


@pytest.mark.parametrize(("schedulers", "train_cfg", "message"), MISFITS.values(), ids=MISFITS)
def test_schedules_that_do_not_fit(schedulers: Any, train_cfg: dict, message: str) -> None:
    cfg = dict(param_scheduler=schedulers, train_cfg=train_cfg)
    with pytest.raises(ConfigError) as caught:
        check_schedules(cfg)
    assert message in str(caught.value)
    assert 'unchecked = ["param_scheduler"]' in str(caught.value)
    check_schedules({**cfg, "unchecked": ["param_scheduler"]})


@pytest.mark.parametrize(
    ("scheduler", "train_cfg", "message"),
    [
        (by_iteration({**WARM_UP, "end": 5000}), EPOCHS, "ends at 5000 iterations, the training has 3000"),
        (by_iteration(cosine(end=300)), EPOCHS, "ends at 300 iterations, the training has 3000 iterations"),
        (
            cosine(end=300, convert_to_iter_based=True),
            ITERS,
            "ends at 300 epochs, the training has 100 epochs",
        ),
    ],
)
def test_what_compares_epochs_with_iterations_is_checked_once_the_data_are_known(
    scheduler: dict, train_cfg: dict, message: str
) -> None:
    cfg = dict(param_scheduler=[scheduler], train_cfg=train_cfg)
    check_schedules(cfg)
    with pytest.raises(ConfigError, match=message):
        check_schedules(cfg, iterations_of_epoch=10)
