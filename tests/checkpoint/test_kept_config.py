"""The model's config out of a checkpoint: read as data, never run."""

import json
from pathlib import Path

import pytest

from mmvisionllama.checkpoint import kept_model
from mmvisionllama.checkpoint.kept_config import kept_setting
from mmvisionllama.config import load_config
from mmvisionllama.errors import CheckpointError

NAME = "configs/toy/dit_visionllama_tiny_digits.py"


def test_a_model_kept_as_plain_data_goes_before_the_text() -> None:
    meta = dict(model=dict(type="mmvisionllama.DiT"), cfg="model = dict(type='another')")
    assert kept_model(dict(meta=meta), "a.pth") == dict(type="mmvisionllama.DiT")


def kept(text: str) -> dict | None:
    return kept_model(dict(meta=dict(cfg=text)), "a.pth")


@pytest.mark.parametrize("name", [NAME, "configs/toy/visionllama_tiny_upernet_digitscenes.py"])
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


def test_other_settings_of_the_kept_text_are_read_by_name() -> None:
    checkpoint = dict(meta=dict(cfg="default_scope = 'mmseg'\ndata_preprocessor = dict(mean=[1.0])\n"))
    assert kept_setting(checkpoint, "default_scope") == "mmseg"
    assert kept_setting(checkpoint, "data_preprocessor") == dict(mean=[1.0])
    assert kept_setting(checkpoint, "model") is None
    assert kept_setting({}, "default_scope") is None
