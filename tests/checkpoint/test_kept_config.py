"""The model's config out of a checkpoint: read as data, never run."""

import json
from pathlib import Path

import pytest

from mmvisionllama.checkpoint import CheckpointError, kept_model
from mmvisionllama.config import load_config

NAME = "configs/gen/dit_visionllama_tiny_digits.py"


def kept(text: str) -> dict | None:
    return kept_model(dict(meta=dict(cfg=text)), "a.pth")


@pytest.mark.parametrize("name", [NAME, "configs/seg/visionllama_tiny_upernet_digitscenes.py"])
def test_the_text_that_a_training_keeps_gives_its_model_back(name: str) -> None:
    cfg = load_config(name)
    assert kept(cfg.pretty_text) == cfg.model.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        "model = dict(type=print('no'))",
        "model = dict(**x)",
        "model = [x for x in y]",
        "model = (",
        "",
        "a = 1",
    ],
)
def test_text_that_is_no_resolved_config_gives_nothing_and_is_not_run(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept(text) is None
    assert capsys.readouterr().out == ""


def test_converted_weights_have_their_config_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert kept_model({}, path) is None
    (tmp_path / "a.json").write_text(json.dumps(dict(model=dict(type="DiT"))))
    assert kept_model({}, path) == dict(type="DiT")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"a\.json, beside a\.safetensors, is no JSON file"):
        kept_model({}, path)
