"""Resume schedules: as they were, or those of another config, as far as these would be by now."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.optim import OptimWrapper

from mmvisionllama.errors import CheckpointError
from mmvisionllama.signatures import accepted_arguments

_Schedulers = Sequence[Any] | dict[str, Sequence[Any]]  # of mmengine's, per optimizer if there are several
_OF_STATE = {"optimizer", "last_step", "verbose"}  # arguments that are no settings


def are_as_saved(schedulers: _Schedulers, states: Any) -> bool:
    """Whether a config describes the schedules whose states a checkpoint holds."""
    if isinstance(schedulers, dict):  # of several optimizers
        return isinstance(states, dict) and all(are_as_saved(x, states.get(k)) for k, x in schedulers.items())
    if not isinstance(states, (list, tuple)) or len(states) != len(schedulers):
        return False
    return all(_is_as_saved(*pair) for pair in zip(schedulers, states, strict=True))


def _is_as_saved(scheduler: Any, state: Any) -> bool:
    """Compare what the constructor was given, as far as the scheduler keeps it, and its kind by that."""
    names = {"param_name", *accepted_arguments(type(scheduler)).names} - _OF_STATE
    given = {name: x for name, x in vars(scheduler).items() if name in names}
    return isinstance(state, Mapping) and all(name in state and state[name] == x for name, x in given.items())


def restore(schedulers: _Schedulers, states: Any) -> None:
    """Let schedules go on from the states that ``are_as_saved`` has compared with them."""
    if isinstance(schedulers, dict):
        for name, some in schedulers.items():
            restore(some, states[name])
        return
    for scheduler, state in zip(schedulers, states, strict=True):
        scheduler.load_state_dict(state)


def advance(
    schedulers: _Schedulers, wrapper: OptimWrapper, *, iterations: int, epochs: int, epoch_length: int
) -> list[dict[str, Any]]:
    """Step new schedules as a training has stepped them by now.

    Args:
        wrapper: A new one, whose state is not restored yet.
        iterations, epochs: That are done.
        epoch_length: Iterations of an epoch.
    Returns: What each parameter group has then, beside its parameters.
    Raises: CheckpointError: for several optimizers, and for schedules that follow a metric.
    """
    if isinstance(schedulers, dict) or any(getattr(x, "need_val_args", False) for x in schedulers):
        raise CheckpointError(
            "--resume: param_scheduler is other than in the checkpoint, and where that of several optimizers "
            "or of a metric would be by now cannot be told. Leave it as it was, or start by load_from"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer has made its steps in an earlier process
        for iteration in range(1, iterations + 1):
            _step(schedulers, by_epoch=False)
            if iteration % epoch_length == 0 and iteration <= epochs * epoch_length:
                _step(schedulers, by_epoch=True)
    return [{key: x for key, x in group.items() if key != "params"} for group in wrapper.param_groups]


def _step(schedulers: Sequence[Any], *, by_epoch: bool) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()
