"""The command analyze: what each analysis prints and writes, and mistakes in one line."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mmvisionllama.checkpoint.names import TINY
from mmvisionllama.errors import ExitStatus
from tests.inference.models import NAMES, data_in
from tests.tools.commands import main

CLASSIFIER, PHOTO = NAMES["classification"], TINY / "images" / "DigitScenes_val_000003.jpg"


@pytest.fixture(scope="module", autouse=True)
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with data_in(tmp_path_factory.mktemp("data")) as digitscenes:
        yield digitscenes


CASES = {
    "flops": ([CLASSIFIER, "--size", "64x96"], "in all 910,570 parameters and 0.1009 GMACs at 64x96"),
    "attention": ([CLASSIFIER, PHOTO, "--block", "blocks.3"], "blocks.3: attention to all tokens"),
    "cam": ([CLASSIFIER, PHOTO, "--method", "layercam"], "layercam at blocks.7.norm1"),
    "knn": (
        [CLASSIFIER, "--data", "toy/visionllama_tiny_digitscenes", "--k", "3"],
        "% of 6 images are right",
    ),
    "tsne": ([CLASSIFIER, "--data", "toy/visionllama_tiny_digitscenes"], "t-SNE: perplexity 1.66667, seed 0"),
    "pca": ([CLASSIFIER, "--data", "toy/visionllama_tiny_digitscenes"], "of the variance"),
    "rope": (["toy/visionllama_tiny_digitscenes", "--size", "128"], "128x128   16x16    0.5"),
    "lr": (
        ["toy/visionllama_tiny_digitscenes", "--steps", "30"],
        "a trial of 30 of the recipe's 1,500 steps",
    ),
    "augment": (["toy/visionllama_tiny_digitscenes", "--images", "2", "--views", "1"], "DigitScenes_train_"),
}


@pytest.mark.parametrize("what", CASES)
def test_an_analysis_prints_a_table_and_writes_picture_and_numbers(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, told = CASES[what]
    out, numbers = tmp_path / "new" / "x.png", tmp_path / "x.json"
    assert main("analyze", what, *given, "--out", out, "--json", numbers) == 0
    printed = capsys.readouterr().out
    assert told in printed
    assert printed.splitlines()[-1] == f"{out}, {numbers}"
    assert json.loads(numbers.read_text())
    with Image.open(out) as picture:
        assert min(picture.size) > 100
    assert sorted(x.name for x in tmp_path.rglob("*.*")) == ["x.json", "x.png"]


def test_what_is_there_is_kept_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.png"
    out.write_text("mine")
    assert main("analyze", "rope", CLASSIFIER, "--out", out) == ExitStatus.USER_ERROR
    assert "is there already: choose another name, or add --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main("analyze", "rope", CLASSIFIER, "--out", out, "--overwrite") == 0
    Image.open(out).close()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["flops", CLASSIFIER, "--size", "64,96"], "a size is a side or HEIGHTxWIDTH in pixels"),
        (["flops", CLASSIFIER, "--cfg-options", "a=1"], "--cfg-options change a config"),
        (
            ["attention", NAMES["detection"], PHOTO, "--rollout"],
            "no attention rollout: .*Leave --rollout out",
        ),
        (["attention", CLASSIFIER, "nowhere.jpg"], "image nowhere.jpg does not exist"),
        (["cam", CLASSIFIER, PHOTO, "--class", "x"], "--class x: there is no such class"),
        (["knn", CLASSIFIER, "--data", "nowhere"], "no config 'nowhere'"),
        (["lr", CLASSIFIER], "no config"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    given: list, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("analyze", *given, "--out", tmp_path / "x.png") == ExitStatus.USER_ERROR

    error = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(error) == 1
    assert re.search(told, error[0])
    assert not list(tmp_path.iterdir())


def test_a_suffix_or_folder_that_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x.jpg", "folder"):
        assert main("analyze", "rope", CLASSIFIER, "--out", tmp_path / name) == ExitStatus.USER_ERROR
        assert "give the name of a .png file" in capsys.readouterr().err


def test_a_library_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    assert main("analyze", "cam", CLASSIFIER, PHOTO, "--out", tmp_path / "x.png") == ExitStatus.USER_ERROR
    assert "mmvisionllama[analyze]" in capsys.readouterr().err


def test_more_images_than_a_picture_shows_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [PHOTO] * 33
    assert main("analyze", "cam", CLASSIFIER, *given, "--out", tmp_path / "x.png") == ExitStatus.USER_ERROR
    assert "at most 32 images, got 33" in capsys.readouterr().err
