import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from mmvisionllama.checkpoint.names import TINY
from mmvisionllama.errors import ExitStatus
from tests.inference.models import NAMES
from tests.tools.commands import main

DETECTOR, IMAGES = NAMES["detection"], TINY / "images"


def test_a_folder_is_predicted_into_pictures_and_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main("predict", DETECTOR, IMAGES, "--out", tmp_path / "out", "--score-thr", "0") == 0
    stems = {x.stem for x in IMAGES.iterdir()}
    assert {x.stem for x in (tmp_path / "out").glob("*.png")} == stems
    found = json.loads((tmp_path / "out/predictions.json").read_text())
    assert {Path(x["image"]).stem for x in found} == stems
    assert any(x["objects"] for x in found)
    assert f"{len(stems)} of {len(stems)} images" in capsys.readouterr().out


def test_a_corrupt_image_is_named_and_the_others_are_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    sound = sorted(IMAGES.iterdir())[:2]
    status = main("predict", DETECTOR, sound[0], tmp_path / "broken.jpg", sound[1], "--out", tmp_path / "out")
    assert status == ExitStatus.FAILED
    assert "broken.jpg cannot be read" in capsys.readouterr().out
    found = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [x["image"] for x in found] == list(map(str, sound))


def test_numbers_are_written_as_csv_or_as_coco_has_them(tmp_path: Path) -> None:
    options = ["--out", tmp_path, "--score-thr", "0"]
    for kind in ("--json", "--csv", "--coco"):
        assert main("predict", DETECTOR, IMAGES, *options, kind) == 0
    objects = [x for one in json.loads((tmp_path / "predictions.json").read_text()) for x in one["objects"]]
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    results = json.loads((tmp_path / "coco_results.json").read_text())
    assert len(objects) == len(rows) == len(results) > 0
    for one, row, result in zip(objects, rows, results, strict=True):
        assert float(row["score"]) == one["score"] == result["score"]
        x1, y1, x2, y2 = one["box"]
        assert [float(row[key]) for key in ("x1", "y1", "x2", "y2")] == one["box"]
        assert result["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])


def test_images_of_one_name_get_pictures_of_their_own(tmp_path: Path) -> None:
    image = Image.open(sorted(IMAGES.iterdir())[0])
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "one.png")
    assert main("predict", DETECTOR, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out") == 0
    assert {x.name for x in (tmp_path / "out").glob("*.png")} == {"one.png", "one-2.png"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.jpg"], "image nothing.jpg does not exist"),
        ([str(IMAGES), "--device", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    assert main("predict", DETECTOR, *arguments, "--out", tmp_path / "out") == ExitStatus.USER_ERROR
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error
    assert not (tmp_path / "out").exists()
