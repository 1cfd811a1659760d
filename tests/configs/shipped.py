"""The shipped config files: their names, loading them and building their models."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvisionllama.config import load_config
from mmvisionllama.training.checkpoint_content import plain_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
NO_TRAINING = {"_base_", "study", "reproduce"}  # parts of configs, and files that no training is started with
FILES = sorted(x for x in CONFIGS.rglob("*.py") if not NO_TRAINING & set(x.relative_to(CONFIGS).parts))
NAMES = [str(x.relative_to(ROOT)) for x in FILES]


@cache
def load(name: str) -> Config:
    return load_config(ROOT / name)


def build(cfg: Config) -> nn.Module:
    """Give the model of a config, without memory for its weights; configs of equal models share one."""
    init_default_scope(cfg.default_scope)
    return _build(cfg.default_scope, json.dumps(cfg.model.to_dict()))


@cache
def _build(scope: str, model: str) -> nn.Module:
    cfg = ConfigDict(json.loads(model))
    # Swin and Twins read values while they are built, but none that is random.
    kind = cfg.get("backbone", cfg).type.removeprefix("mmpretrain.")
    with torch.device("cpu" if kind in ("SwinTransformer", "SVT") else "meta"), _nothing_drawn():
        return MODELS.build(cfg).to("meta")


@contextmanager
def _nothing_drawn() -> Iterator[None]:
    """Leave random weights as the memory is: to draw those of a large model takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("kaiming_uniform_", "uniform_", "normal_", "trunc_normal_"):
            patch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
        yield


def saved(cfg: Any) -> dict[str, Any]:
    """Give what a checkpoint of a training keeps of its config."""
    model = json.loads(json.dumps(plain_config(cfg.model)))
    return {"meta": {"model": model, "cfg": text_of(cfg)}}


def text_of(cfg: Config) -> str:
    """Give the text that a training keeps, but in lines of any length, which takes no time."""
    return Config(cfg.to_dict(), format_python_code=False).pretty_text


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    """Give the names and shapes of what a checkpoint of the module holds."""
    return {key: value.shape for key, value in module.state_dict().items()}


def header(name: str) -> str:
    """Give the text before the first setting of a config file."""
    return (ROOT / name).read_text().split("\n\n_base_", 1)[0]
