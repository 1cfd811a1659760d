"""Every shipped config starts from the checkpoint, or the public weights, that its header names."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from mmvisionllama.checkpoint import Converted, convert_released
from mmvisionllama.checks import checkpoint
from mmvisionllama.config import load_config
from mmvisionllama.config.option_values import parse_value
from mmvisionllama.training.checkpoint_content import plain_config
from tests.configs.shipped import CONFIGS, NAMES, ROOT, build, header, load

PUBLIC = "huggingface.co/timm/"


def start_of(name: str) -> str | None:
    """Return the config that makes the checkpoint of a header's load_from, None if it names none of ours."""
    found = re.search(r"load_from=(\S+)", header(name))
    if found is None or PUBLIC in header(name):
        return None
    if "/" in found[1]:
        stem = Path(found[1]).parent.name
    else:
        released = "_released" if name.endswith("_released.py") else ""
        model = re.split("_upernet|_maskrcnn", Path(name).stem)[0]
        stem = f"{model}_mae_in1k_800e" if found[1] == "MAE.pth" else f"{model}_in1k"
        stem += released
    (path,) = CONFIGS.glob(f"*/{stem}.py")
    return str(path.relative_to(ROOT))


STARTS = {name: start for name in NAMES if (start := start_of(name))}


def test_most_configs_beyond_pretraining_start_from_another() -> None:
    assert len(STARTS) > 50


@pytest.mark.parametrize("name", STARTS)
def test_a_config_starts_from_what_its_header_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, cfg = load(STARTS[name]), load(name)
    meta = dict(model=plain_config(before.model), cfg=before.pretty_text)
    saved: dict[str, Any] = dict(meta=meta, state_dict=dict(build(before).state_dict()))
    monkeypatch.setattr(checkpoint, "read_checkpoint", lambda *_, **__: saved)
    for note in checkpoint.check_start(build(cfg), "before.pth", cfg):
        assert "loads in part" in note


@cache
def published(model: str) -> Converted:
    """Convert weights of timm's names and shapes, without their values."""
    with torch.device("meta"):
        weights = timm.create_model(model).state_dict()
    return convert_released(weights, accept_license="dinov3")


@pytest.mark.parametrize("name", [x for x in NAMES if PUBLIC in header(x)])
def test_public_weights_that_a_header_names_give_the_whole_backbone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = header(name)
    converted = published(re.search(rf"{PUBLIC}(\w+)\.", text)[1])
    key, value = re.search(r'--cfg-options (\S+?)="?([^"\s]+)', text).groups()
    cfg = load_config(ROOT / name, {key: parse_value(value)})
    saved = dict(meta=dict(model=converted.model), state_dict=converted.state_dict)
    monkeypatch.setattr(checkpoint, "read_checkpoint", lambda *_, **__: saved)
    model = build(cfg)
    if key == "load_from":
        checkpoint.check_start(model, value, cfg)
        wanted = {f"backbone.{x}" for x in model.backbone.state_dict()}
    else:
        checkpoint.check_pretrained(model, cfg)
        wanted = set(model.backbone.state_dict())
    assert not wanted - converted.state_dict.keys()
