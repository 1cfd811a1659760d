"""Optimizer groups of all parameters with the same settings, and states saved with a group for each."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mmvisionllama.registry import OPTIM_WRAPPER_CONSTRUCTORS

_HOSTS = DefaultOptimWrapperConstructor.__name__
_OF_GROUPS = ("base_values", "_last_value")  # lists of a scheduler with a value for each group


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupingOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Put all parameters with the same settings into one optimizer group, as mmengine's makes one for each.

    Rates and weight decay of every parameter are those of mmengine. torch compares a new group with all
    before it, and updates all of a group in a few kernels on a GPU. The Runner takes this constructor where
    a config names none.

    Args:
        optim_wrapper_cfg: As in mmengine.
        paramwise_cfg: As in mmengine.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Append the groups of a module and those below it to ``params``."""
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # the whole model; mmengine calls this for every module in it
            given = {"lr": self.base_lr, "weight_decay": self.base_wd}
            params[:] = _merged(params, {key: x for key, x in given.items() if x is not None})


def with_grouping(optim_wrapper: Any) -> Any:
    """Return the config of one optimizer with the constructor above, if it names mmengine's or none."""
    is_config = isinstance(optim_wrapper, dict) and "optimizer" in optim_wrapper
    if is_config and optim_wrapper.get("constructor", _HOSTS) == _HOSTS:
        return {**optim_wrapper, "constructor": f"mmvisionllama.{GroupingOptimWrapperConstructor.__name__}"}
    return optim_wrapper


def _merged(groups: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put groups of the same settings together; what a group does not say is as ``given``."""
    merged: dict[Hashable, dict[str, Any]] = {}
    seen: set[int] = set()
    for index, group in enumerate(groups):
        settings = {**given, **{key: x for key, x in group.items() if key != "params"}}
        ids = {id(x) for x in group["params"]}
        # What comes twice stays by itself, so that torch refuses it.
        key = index if ids & seen else repr(sorted(settings.items()))
        seen |= ids
        merged.setdefault(key, {"params": [], **settings})["params"].extend(group["params"])
    return list(merged.values())


def regrouped(
    state: dict[str, Any], schedules: Any, wrapper: OptimWrapper, model: nn.Module
) -> tuple[dict[str, Any], Any]:
    """Return states of an optimizer and its schedules, as saved, in the groups that the optimizer has now.

    Those of mmengine's own constructor have a group for each parameter, in the order of the model; they are
    put together. All others, and those of several optimizers, are returned as they are.

    Args:
        state: Of the wrapper.
        schedules: States of mmengine's schedulers, or None.
        wrapper: A new one, of a model's trained parameters.
    """
    groups, saved = wrapper.optimizer.param_groups, state.get("param_groups")
    places = _places(groups, model)
    if not isinstance(saved, list) or len(saved) in (len(groups), 1) or len(saved) != len(places):
        return state, schedules
    if any(len(group["params"]) != 1 for group in saved):
        return state, schedules
    chosen = [[places[id(x)] for x in group["params"]] for group in groups]
    order = [place for members in chosen for place in members]
    number = {saved[place]["params"][0]: new for new, place in enumerate(order)}
    ids = iter(range(len(order)))
    found = {
        **state,
        "state": {number[old]: x for old, x in state["state"].items()},
        "param_groups": [{**saved[members[0]], "params": [next(ids) for _ in members]} for members in chosen],
    }
    kept = [members[0] for members in chosen]
    if len(groups) > 1:
        kept.append(len(saved))  # mmengine's own rates, of no parameter
    else:
        found.pop("base_param_settings", None)
    if isinstance(schedules, list):
        schedules = [_with_values(x, kept) for x in schedules]
    return found, schedules


def _places(groups: Sequence[Mapping[str, Any]], model: nn.Module) -> dict[int, int]:
    """Return where each trained parameter comes in the model, by identity."""
    trained = {id(x) for group in groups for x in group["params"]}
    return {key: place for place, key in enumerate(x for x in map(id, model.parameters()) if x in trained)}


def _with_values(schedule: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """Keep some values of the lists that a scheduler has with one for each group."""
    return {key: [x[i] for i in kept] if key in _OF_GROUPS else x for key, x in schedule.items()}
