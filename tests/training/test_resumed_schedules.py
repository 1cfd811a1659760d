"""Schedules of another config are where they would be by now, in iterations and in epochs."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, PolyLR, ReduceOnPlateauLR

from mmvisionllama.errors import CheckpointError
from mmvisionllama.training.resumed_schedules import advance, are_as_saved, restore

EPOCH = 3  # iterations
KINDS = {
    "cosine after warm-up": lambda x, length: [
        LinearLR(x, 0.1, end=4, by_epoch=False),
        CosineAnnealingLR(x, T_max=length, end=length, by_epoch=True),
    ],
    "steps": lambda x, length: [MultiStepLR(x, milestones=[2, length], by_epoch=True)],
    "polynomial": lambda x, length: [PolyLR(x, end=EPOCH * length, by_epoch=False)],
}


def wrapper() -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))


def trained(kind: str, length: int, iterations: int) -> tuple[OptimWrapper, list]:
    """Step schedules as mmengine's hook does."""
    optimizer = wrapper()
    schedulers = KINDS[kind](optimizer, length)
    for iteration in range(iterations):
        optimizer.optimizer.step()
        for scheduler in (x for x in schedulers if not x.by_epoch):
            scheduler.step()
        for scheduler in (x for x in schedulers if x.by_epoch and (iteration + 1) % EPOCH == 0):
            scheduler.step()
    return optimizer, schedulers


@pytest.mark.parametrize("kind", KINDS)
def test_new_schedules_are_where_a_training_would_have_them(kind: str) -> None:
    short, long, optimizer = trained(kind, 4, 8), trained(kind, 6, 8), wrapper()
    schedulers = KINDS[kind](optimizer, 6)
    assert not are_as_saved(schedulers, [x.state_dict() for x in short[1]])
    states = [x.state_dict() for x in long[1]]
    assert are_as_saved(schedulers, states)
    (group,) = advance(schedulers, optimizer, iterations=8, epochs=2, epoch_length=EPOCH)
    assert group["lr"] == long[0].param_groups[0]["lr"]
    assert [x.state_dict() for x in schedulers] == states
    restore(short[1], states)
    assert [x.state_dict() for x in short[1]] == states


def test_what_a_checkpoint_holds_instead_of_states_is_not_taken_for_them() -> None:
    schedulers = KINDS["polynomial"](wrapper(), 6)
    for states in (None, 3, [], [None], [{}], {"a": [{}]}, [{"power": 1.0}]):
        assert not are_as_saved(schedulers, states)


def test_a_schedule_that_follows_a_metric_is_refused() -> None:
    optimizer = wrapper()
    with pytest.raises(CheckpointError, match="param_scheduler is other than in the checkpoint"):
        advance(
            [ReduceOnPlateauLR(optimizer, monitor="x")], optimizer, iterations=1, epochs=0, epoch_length=1
        )
