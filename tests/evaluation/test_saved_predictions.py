"""Prediction files of a test: what is whole is read, anything else is one error."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.saved_predictions import FILE, read_predictions, write_predictions_file

IMAGE = {"image": "a/b.jpg", "truth": 1, "truth_score": 0.25, "labels": [0, 1], "scores": [0.75, 0.25]}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = write_predictions_file(tmp_path, "classification", ("a", "b"), [IMAGE], checkpoint="c.pth")
    for path in (file, tmp_path):
        saved = read_predictions(path)
        assert (saved.task, saved.classes, saved.images) == ("classification", ["a", "b"], [IMAGE])
        assert saved.facts["checkpoint"] == "c.pth"
        assert saved.name_of(0) == "b.jpg"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"truth": 2}, "image 0 has a class beyond the 2 classes"),
        ({"labels": [0, -1]}, "image 0 has a class beyond"),
        ({"labels": [0]}, "1 labels and 2 scores"),
        ({"scores": ["high", 0.1]}, "scores of image 0 is"),
        ({"truth": None}, "truth of image 0 is None"),
        ({"image": 3}, "image of image 0 is 3"),
    ],
)
def test_a_changed_image_is_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    write_predictions_file(tmp_path, "classification", ("a", "b"), [{**IMAGE, **changes}])
    with pytest.raises(EvaluationError, match=f"no prediction file as it was saved: .*{told}"):
        read_predictions(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([{"image_id": 1, "category_id": 2, "bbox": [], "score": 0.5}], "a result file of COCO"),
        ([{"image": "a.jpg", "label": 3}], "a file of predict, which has no truth"),
        ({"format": "mmvisionllama-predictions-9"}, "of another version"),
        ({"metrics": {}}, "no prediction file of a test"),
        (3, "no prediction file of a test"),
        ({"format": "mmvisionllama-predictions-1", "task": "sorting"}, "task is 'sorting'"),
    ],
)
def test_a_foreign_file_is_named_for_what_it_is(tmp_path: Path, content: Any, told: str) -> None:
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match=rf"{FILE} is .*{told}.*test.sh CONFIG CHECKPOINT"):
        read_predictions(tmp_path)


def test_cut_missing_and_empty_files_and_paths_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"predictions.json is missing"):
        read_predictions(tmp_path)
    file = write_predictions_file(tmp_path, "classification", ("a", "b"), [IMAGE])
    file.write_text(file.read_text()[:-20])
    with pytest.raises(EvaluationError, match="no whole JSON file"):
        read_predictions(file)
    write_predictions_file(tmp_path, "classification", ("a", "b"), [])
    with pytest.raises(EvaluationError, match="has no images"):
        read_predictions(file)
    climbing = {"image": None, "truth": "../a.png", "predicted": "b.png"}
    write_predictions_file(tmp_path, "segmentation", ("a", "b"), [climbing])
    with pytest.raises(EvaluationError, match="truth of image 0 is outside of the folder"):
        read_predictions(file)
    write_predictions_file(tmp_path, "detection", None, [{"image": None, "id": 1}])
    with pytest.raises(EvaluationError, match="no classes, which a detection needs"):
        read_predictions(file)
