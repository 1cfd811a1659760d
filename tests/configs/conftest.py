import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from tests.configs.shipped import build, load


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> tuple[Config, nn.Module]:
    """Give a config and its model, built once for all tests that ask for it and then let go."""
    cfg = load(request.param)
    return cfg, build(cfg)


@pytest.fixture(autouse=True)
def _scope_of_the_config(request: pytest.FixtureRequest) -> None:
    """Build what belongs to a built model, such as its optimizer, in the scope of its config."""
    if "built" in request.fixturenames:
        init_default_scope(request.getfixturevalue("built")[0].default_scope)
