import pytest
from mmengine.config import Config
from torch import nn

from tests.configs.shipped import build, load


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> tuple[Config, nn.Module]:
    """Give a config and its model, built once for all tests that ask for it and then let go."""
    cfg = load(request.param)
    return cfg, build(cfg)
