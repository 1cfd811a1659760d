"""tools/check_data.py: everything wrong with the data of a config, at once."""

import json
import shutil
from pathlib import Path

import pytest

from mmvisionllama.datasets.digitscenes import write_digitscenes
from tests.tools.commands import main

DET = "configs/toy/pyramid_visionllama_tiny_maskrcnn_digitscenes.py"
CONFIGS = {
    "seg": "configs/toy/visionllama_tiny_upernet_digitscenes.py",
    "cls": "configs/toy/visionllama_tiny_digitscenes.py",
    "det": DET,
    "pretrain": "configs/toy/visionllama_tiny_mae_digitscenes.py",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, layouts = tmp_path_factory.mktemp("data"), ["seg", "cls", "det"]
    write_digitscenes(folder / "digitscenes", num_train=20, num_val=10, layouts=layouts, workers=1)
    return folder / "digitscenes"


@pytest.fixture
def data(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data that a test may change."""
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    return shutil.copytree(written, tmp_path / "digitscenes")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_sound_data_of_every_task_end_with_no_errors(
    config: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("check_data", config) == 0
    assert "0 errors, 0 notes" in capsys.readouterr().out


def test_all_errors_and_notes_are_reported_at_once(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        file = data / f"det/annotations/instances_{split}.json"
        content = json.loads(file.read_text())
        content["annotations"][0]["bbox"] = [0, 0, 0, 0]
        file.write_text(json.dumps(content))
        (data / "det/images" / split / content["images"][0]["file_name"]).unlink()
    assert main("check_data", DET) == 1
    out = capsys.readouterr().out
    assert out.count("error: ") == 2 and out.count("images are not in") == 2
    assert out.count("note: ") == 2 and out.count("have a box without area and are left out") == 2
    assert "2 errors, 2 notes" in out


def test_a_wrong_config_is_an_error_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("check_data", "configs/det/nothing.py") == 2
    assert "error: no config" in capsys.readouterr().err


def test_heads_that_disagree_and_a_test_left_behind_are_reported_with_the_data(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["model.roi_head.mask_head.num_classes=5", "val_evaluator.metric=bbox"]
    assert main("check_data", DET, "--cfg-options", *options) == 1
    out = capsys.readouterr().out
    assert "error: config: model.roi_head.mask_head.num_classes=5, but the model's head" in out
    assert "note: config: test_evaluator was left behind" in out
    assert "1 errors, 1 notes" in out
