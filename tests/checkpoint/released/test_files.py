"""Converted weights on disk."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmvisionllama import __version__
from mmvisionllama.checkpoint import convert_file, convert_released, read_checkpoint
from mmvisionllama.checkpoint.released import files
from mmvisionllama.errors import CheckpointError
from mmvisionllama.registry import MODELS
from tests.models.released import load_case

PLAIN, MASKED = load_case("plain_cls"), load_case("mae")
HEADS = dict(num_heads=4)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.save({"model": PLAIN.weights, "epoch": 3}, tmp_path / "released.pth")
    return tmp_path / "released.pth"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "ours.safetensors"


def test_the_json_file_builds_the_model_that_the_weights_fit(source: Path, target: Path) -> None:
    convert_file(source, target, known=HEADS)
    facts = json.loads(target.with_suffix(".json").read_text())
    model = MODELS.build(facts["model"])
    model.load_state_dict(load_file(target), strict=True)
    PLAIN.check("logits", model.eval()(PLAIN.inputs["x"]))


def test_the_json_file_says_where_the_weights_are_from(source: Path, target: Path) -> None:
    convert_file(source, target, part="model", known=HEADS)
    facts = json.loads(target.with_suffix(".json").read_text())
    assert facts["source"] == dict(
        file=str(source), sha256=hashlib.sha256(source.read_bytes()).hexdigest(), part="model"
    )
    assert facts["family"] == "plain"
    assert facts["report"] == {"epoch": "beside the weights, which 'model' holds"}
    assert facts["mmvisionllama"] == __version__


def test_layers_that_were_one_are_written_apart(tmp_path: Path, target: Path) -> None:
    torch.save(MASKED.weights, tmp_path / "mae.pth")
    converted = convert_file(
        tmp_path / "mae.pth", target, known=dict(num_heads=3, neck=dict(decoder_num_heads=2))
    )
    written = read_checkpoint(target)
    assert written["meta"] == dict(format="pt", mmvisionllama=__version__)
    assert list(written["state_dict"]) == sorted(converted.state_dict)
    assert all(torch.equal(converted.state_dict[key], x) for key, x in written["state_dict"].items())


def test_whoever_may_read_the_json_file_may_read_the_weights(source: Path, target: Path) -> None:
    convert_file(source, target, known=HEADS)
    assert target.stat().st_mode == target.with_suffix(".json").stat().st_mode


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_target_that_exists_is_kept_unless_forced(source: Path, target: Path, suffix: str) -> None:
    target.parent.mkdir()
    taken = target.with_suffix(suffix)
    taken.write_text("mine")
    with pytest.raises(CheckpointError, match=f"{taken} exists.*--force"):
        convert_file(source, target, known=HEADS)
    assert [x.read_text() for x in target.parent.iterdir()] == ["mine"]
    convert_file(source, target, known=HEADS, force=True)
    assert sorted(x.name for x in target.parent.iterdir()) == ["ours.json", "ours.safetensors"]
    assert taken.read_bytes() != b"mine"


@pytest.mark.parametrize("before", [False, True])
def test_a_write_that_fails_leaves_what_was_there(
    source: Path, target: Path, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    if before:
        convert_file(source, target, known=HEADS)
    old = {path.name: path.read_bytes() for path in target.parent.glob("*")}
    monkeypatch.setattr(files, "save_file", fill_the_disk)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        convert_file(source, target, known=HEADS, force=True)
    assert {path.name: path.read_bytes() for path in target.parent.glob("*")} == old


def test_a_target_that_is_not_named_as_what_it_will_be_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"name it \*\.safetensors"):
        convert_file(source, tmp_path / "ours.pth", known=HEADS)


def test_the_source_is_never_overwritten(source: Path, target: Path) -> None:
    source.rename(source.with_suffix(".safetensors"))
    with pytest.raises(CheckpointError, match="is the source itself"):
        convert_file(source.with_suffix(".safetensors"), source.with_suffix(".safetensors"), force=True)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def to_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><p>Sign in to download</p>")


@pytest.mark.parametrize(("spoil", "message"), [(truncate, "cut off"), (to_page, "a web page")])
def test_a_spoilt_source_is_an_error_that_leaves_no_target(
    source: Path, target: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(source)
    with pytest.raises(CheckpointError, match=message):
        convert_file(source, target, known=HEADS)
    assert not target.parent.exists()


@pytest.mark.parametrize(("spoil", "message"), [(truncate, "damaged"), (to_page, "a web page")])
def test_spoilt_safetensors_are_an_error(
    source: Path, target: Path, spoil: Callable[[Path], None], message: str
) -> None:
    convert_file(source, target, known=HEADS)
    spoil(target)
    with pytest.raises(CheckpointError, match=r"not used: its bytes are not those that were saved"):
        read_checkpoint(target)
    target.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(target)


def test_a_part_that_the_source_lacks_is_an_error_with_those_that_it_has(source: Path, target: Path) -> None:
    with pytest.raises(CheckpointError, match="no part 'ema'; it has model, epoch"):
        convert_file(source, target, part="ema", known=HEADS)


def test_weights_that_were_already_safetensors_are_converted(tmp_path: Path, target: Path) -> None:
    from safetensors.torch import save_file

    save_file({key: x.contiguous() for key, x in PLAIN.weights.items()}, tmp_path / "a.safetensors")
    converted = convert_file(tmp_path / "a.safetensors", target, known=HEADS)
    assert converted.model == convert_released(PLAIN.weights, **HEADS).model
