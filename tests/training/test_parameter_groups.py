"""Parameters of the same settings form one group; trainings saved with a group for each go on exactly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, build_optim_wrapper
from torch import nn

from mmvisionllama.training import runner as runner_file
from mmvisionllama.training.parameter_groups import with_grouping
from tests.fault_tolerance.resume_cases import Crash, differences, left_by, training

PARAMWISE = dict(norm_decay_mult=0.0, custom_keys={"head": dict(lr_mult=0.1)})
CFG = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.05), paramwise_cfg=PARAMWISE
)


def network() -> nn.Module:
    model = nn.Sequential()
    for name, module in dict(first=nn.Linear(3, 4), norm=nn.LayerNorm(4), head=nn.Linear(4, 2)).items():
        model.add_module(name, module)
    model.first.bias.requires_grad_(False)
    return model


def of_each(wrapper: OptimWrapper) -> dict[int, dict[str, Any]]:
    """Return the settings of every parameter."""
    return {
        id(x): {key: value for key, value in group.items() if key != "params"}
        for group in wrapper.optimizer.param_groups
        for x in group["params"]
    }


def test_groups_are_as_few_as_settings_and_every_parameter_has_those_of_mmengine() -> None:
    model = network()
    ours, theirs = (build_optim_wrapper(model, ConfigDict(cfg)) for cfg in (with_grouping(CFG), CFG))
    assert len(theirs.optimizer.param_groups) == 5
    assert len(ours.optimizer.param_groups) == 3
    assert of_each(ours) == of_each(theirs)


def test_a_parameter_in_two_places_is_refused_as_by_mmengine() -> None:
    model = network()
    model.add_module("again", nn.Linear(3, 4))
    model.again.weight = model.first.weight
    for cfg in (CFG, with_grouping(CFG)):
        with pytest.raises(ValueError, match="appear in more than one parameter group"):
            build_optim_wrapper(model, ConfigDict(cfg))


@pytest.mark.parametrize(
    "cfg",
    [
        dict(CFG, constructor="mmvisionllama.LayerDecayOptimWrapperConstructor"),
        dict(one=CFG, two=CFG, constructor="Own"),
        OptimWrapper(torch.optim.SGD(network().parameters(), lr=0.1)),
        None,
    ],
)
def test_other_constructors_several_optimizers_and_built_ones_stay(cfg: Any) -> None:
    assert with_grouping(cfg) is cfg


@pytest.mark.parametrize("decayed", [True, False], ids=["several groups", "one group"])
def test_a_training_saved_with_a_group_for_each_parameter_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decayed: bool
) -> None:
    paramwise = dict(norm_decay_mult=1.0, bias_decay_mult=0.0 if decayed else 1.0)

    def begun(folder: Path, **options: Any) -> Any:
        made = training(tmp_path / folder, **options)
        made.optim_wrapper.update(paramwise_cfg=paramwise)
        made.optim_wrapper["optimizer"].update(weight_decay=0.1)
        made.optim_wrapper.pop("clip_grad")  # the norm is summed in the order of the groups
        return made

    whole = begun("whole")
    whole.train()
    with monkeypatch.context() as patch:
        patch.setattr(runner_file, "with_grouping", lambda cfg: cfg)
        crashed = begun("resumed", ask=dict(train=7, crash=True))
        with pytest.raises(Crash):
            crashed.train()
    assert len(crashed.optim_wrapper.optimizer.param_groups) == 8
    resumed = begun("resumed", resume=True)
    resumed.train()
    assert len(resumed.optim_wrapper.optimizer.param_groups) == 1 + decayed
    one, other = (  # mmengine logs a rate of no group beside those of several groups
        {key: x for key, x in left_by(runner).items() if "base_" not in key} for runner in (whole, resumed)
    )
    assert differences(one, other) == []


def test_the_name_that_stands_for_none_is_that_of_mmengine() -> None:
    named = dict(CFG, constructor=DefaultOptimWrapperConstructor.__name__)
    assert with_grouping(named) == with_grouping(CFG) != CFG
