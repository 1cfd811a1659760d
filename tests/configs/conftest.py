"""Fixtures of the config tests: a config with its model, and the default scope of the config."""

import json
from functools import cache
from typing import Any

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmvisionllama.training.parameter_groups import with_grouping
from tests.configs.shipped import build, load


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> tuple[Config, nn.Module]:
    """Give a config and its model; tests must not change them."""
    cfg = load(request.param)
    return cfg, build(cfg)


@pytest.fixture(scope="session")
def param_groups(built: tuple[Config, nn.Module]) -> list[dict[str, Any]]:
    """Give the groups that the optimizer of a config makes of its model's parameters."""
    cfg, model = built
    return _groups(cfg.default_scope, model, json.dumps(cfg.optim_wrapper.to_dict()))


@cache
def _groups(scope: str, model: nn.Module, optim_wrapper: str) -> list[dict[str, Any]]:
    init_default_scope(scope)
    cfg = with_grouping(json.loads(optim_wrapper))
    return build_optim_wrapper(model, ConfigDict(cfg)).optimizer.param_groups


@pytest.fixture(autouse=True)
def _scope_of_the_config(request: pytest.FixtureRequest) -> None:
    """Build what belongs to a built model, such as its optimizer, in the scope of its config."""
    if "built" in request.fixturenames:
        init_default_scope(request.getfixturevalue("built")[0].default_scope)
