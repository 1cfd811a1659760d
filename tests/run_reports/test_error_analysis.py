"""Errors that are known: of a classifier, a segmentor and a detector, from prediction files alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.saved_predictions import read_predictions, write_predictions_file
from mmvisionllama.run_reports.cls_errors import ClsErrors
from mmvisionllama.run_reports.det_errors import DetErrors
from mmvisionllama.run_reports.det_matching import average_precision
from mmvisionllama.run_reports.seg_errors import SegErrors, near_boundary
from tests.tools.commands import main

SIDE = 100
BOX = [10.0, 10.0, 20.0, 20.0]


def cls_folder(folder: Path) -> Path:
    """Four images: two right, a sure mistake, and one whose score is NaN."""
    rows = [
        (0, [0, 1], [0.9, 0.1]),
        (0, [1, 0], [0.8, 0.2]),
        (1, [1, 0], [0.6, 0.4]),
        (2, [2, 0], [None, 0.1]),
    ]
    images = [
        {
            "image": None,
            "truth": truth,
            "truth_score": scores[labels.index(truth)],
            "labels": labels,
            "scores": scores,
        }
        for truth, labels, scores in rows
    ]
    write_predictions_file(folder, "classification", ["cat", "dog", "<script>"], images)
    return folder


def test_a_classifiers_mistakes_are_counted_and_ordered_by_confidence(tmp_path: Path) -> None:
    errors = ClsErrors(read_predictions(cls_folder(tmp_path)))
    assert errors.matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert errors.class_results()["accuracy"] == {"cat": 50.0, "dog": 100.0, "<script>": 100.0}
    assert errors.class_results()["precision"]["dog"] == 50.0
    assert [x.name for x in errors.ranked()] == ["image 3", "image 1", "image 2", "image 0"]
    assert errors.ranked()[1].told == "dog 0.80, is cat"


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy(tmp_path: Path) -> None:
    gap, bins = ClsErrors(read_predictions(cls_folder(tmp_path))).calibration()
    assert bins == [(0.6, 1.0, 1), (0.8, 0.0, 1), (0.9, 1.0, 1)]
    assert gap == pytest.approx(100 * (0.4 + 0.8 + 0.1) / 3)


def seg_folder(folder: Path) -> Path:
    """One image, left half 0 and right half 1, of which two columns are not scored, with a wrong column."""
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[:, 50:] = 1
    truth[:, :2] = 255
    predicted = np.where(truth == 255, 0, truth).astype(np.uint8)
    predicted[:, 48:50] = 1  # at the boundary
    predicted[:10, 80] = 0  # inside
    for name, labels in (("truth", truth), ("predicted", predicted)):
        Image.fromarray(labels).save(folder / f"{name}.png")
    image = {"image": None, "truth": "truth.png", "predicted": "predicted.png"}
    write_predictions_file(folder, "segmentation", ["ground", "square"], [image], ignored=255)
    return folder


def test_pixels_of_a_segmentation_are_wrong_at_boundaries_or_inside(tmp_path: Path) -> None:
    errors = SegErrors(read_predictions(seg_folder(tmp_path)))
    assert errors.matrix.tolist() == [[4600, 200], [10, 4990]]
    assert errors.boundary[0].tolist() == [[4200, 0], [400, 200]]  # 3 px at either side, inside first
    assert errors.boundary[1].tolist() == [[4690, 10], [300, 0]]
    facts = errors.facts()
    assert facts["share of wrong pixels near a boundary"] == pytest.approx(100 * 200 / 210)
    assert facts["mIoU"] == pytest.approx(100 * (4600 / 4810 + 4990 / 5200) / 2)
    assert errors.scores.tolist() == [pytest.approx(facts["mIoU"])]


def test_a_boundary_is_where_another_label_is_within_two_per_cent_of_the_diagonal() -> None:
    labels = np.zeros((SIDE, SIDE), np.uint16)
    labels[:, 50:] = 300
    assert np.flatnonzero(near_boundary(labels)[0]).tolist() == [47, 48, 49, 50, 51, 52]
    assert not near_boundary(np.full((4, 4), 7)).any()


def det_folder(folder: Path, *, kinds: tuple[str, ...] = ("bbox",)) -> Path:
    """Three images of cats and dogs, and a detection of every kind."""

    def cat(image: int, number: int, box: list[float], category: int = 5) -> dict[str, Any]:
        area = box[2] * box[3]
        known = {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": area}
        return {**known, "iscrowd": 0, "segmentation": []}

    def found(image: int, box: list[float], score: float, category: int = 5) -> dict[str, Any]:
        return {"image_id": image, "category_id": category, "bbox": box, "score": score}

    dog = cat(2, 3, [60, 60, 20, 20], 9)
    objects = [cat(1, 1, BOX), cat(2, 2, BOX), dog, cat(3, 4, BOX), cat(3, 5, [60, 10, 20, 20])]
    results = [
        found(1, BOX, 0.9),  # right
        found(1, [11, 10, 20, 20], 0.8),  # duplicate
        found(1, [70, 70, 10, 10], 0.7),  # background
        found(2, BOX, 0.9, 9),  # classification
        found(2, [70, 60, 20, 20], 0.6, 9),  # localisation: IoU 1/3
        found(3, [20, 10, 20, 20], 0.5, 9),  # both; the cats of this image are missed
        found(3, [80, 80, 5, 5], 0.1),  # below the score
    ]
    images = [{"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE} for i in (1, 2, 3, 4)]
    categories = [{"id": 9, "name": "dog"}, {"id": 5, "name": "cat"}]
    truth = {"images": images, "annotations": objects, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(truth))
    (folder / "results.bbox.json").write_text(json.dumps(results))
    saved = [{"image": f"gone/{i}.jpg", "id": i} for i in (1, 2, 3)]
    write_predictions_file(folder, "detection", ["cat", "dog"], saved, results=list(kinds))
    return folder


def test_every_kind_of_error_of_a_detector_is_told(tmp_path: Path) -> None:
    errors = DetErrors(read_predictions(det_folder(tmp_path)))
    counts = errors.facts()["boxes"]["errors"]
    assert counts == {
        "right": 1,
        "classification": 1,
        "localisation": 1,
        "both": 1,
        "duplicate": 1,
        "background": 1,
        "missed": 2,
    }
    worst, *_, best = errors.ranked()
    assert (worst.name, worst.told) == ("2.jpg", "0 of 2 found, 2 wrong")
    assert (best.name, best.told) == ("1.jpg", "1 of 1 found, 2 wrong")
    pairs = [x for x in errors.sections() if x.title == "Classes taken for others"]
    assert pairs[0].blocks[0].rows == [["cat", "dog", "1"]]


def test_what_an_error_costs_is_what_its_mending_gains(tmp_path: Path) -> None:
    errors = DetErrors(read_predictions(det_folder(tmp_path)))
    gained, results = errors.gained["bbox"], errors.results["bbox"]
    now = average_precision(errors.truth, results, "bbox")
    for kind, mended in (
        ("classification", [{**x, "category_id": 5} if x["bbox"] == BOX else x for x in results]),
        ("localisation", [{**x, "bbox": [60, 60, 20, 20]} if x["score"] == 0.6 else x for x in results]),
        ("background", [x for x in results if x["score"] not in (0.7, 0.1)]),
    ):
        assert gained[kind] == pytest.approx(average_precision(errors.truth, mended, "bbox") - now)
    assert gained["localisation"] > 10  # of two classes, one has the only object that it has lost
    found = {**errors.truth, "annotations": [x for x in errors.truth["annotations"] if x["image_id"] != 3]}
    assert gained["missed"] == pytest.approx(average_precision(found, results, "bbox") - now)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("results.bbox.json", '[{"image_id": 77}]', "detection 0 is none of this test's"),
        ("results.bbox.json", '[{"image_id"', "cannot be read"),
        ("annotations.json", "[]", "no file of annotations in COCO's format"),
        ("annotations.json", '{"images": [], "annotations": [], "categories": []}', "lacks 'cat'"),
    ],
)
def test_results_and_annotations_of_another_test_are_refused(
    tmp_path: Path, file: str, content: str, told: str
) -> None:
    (det_folder(tmp_path) / file).write_text(content)
    with pytest.raises(EvaluationError, match=f"{file}.* {told}"):
        DetErrors(read_predictions(tmp_path))


def test_label_maps_that_are_gone_cut_or_of_other_classes_are_refused(tmp_path: Path) -> None:
    saved = read_predictions(seg_folder(tmp_path))
    file = tmp_path / "predicted.png"
    whole = file.read_bytes()
    Image.fromarray(np.full((SIDE, SIDE), 2, np.uint8)).save(file)
    with pytest.raises(EvaluationError, match=r"predicted.png has label 2, beyond the 2 classes"):
        SegErrors(saved)
    for content, told in ((whole[: len(whole) // 2], "no whole image"), (b"", "no whole image")):
        file.write_bytes(content)
        with pytest.raises(EvaluationError, match=told):
            SegErrors(saved)
    file.unlink()
    with pytest.raises(EvaluationError, match=r"predicted.png, which predictions.json names, is missing"):
        SegErrors(saved)


def test_the_command_writes_page_and_numbers_and_says_which_images_are_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    folder = det_folder(tmp_path / "in")
    assert main("errors", folder, "--out", tmp_path / "out", "--score-thr", "0.05") == 0
    assert str(tmp_path / "out" / "errors.html") in capsys.readouterr().out
    numbers = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert numbers["boxes"]["errors"]["background"] == 2
    assert numbers["by class"]["AP50 boxes"].keys() == {"cat", "dog"}
    page = (tmp_path / "out" / "errors.html").read_text()
    assert "Their files are not on this machine: 2.jpg: 0 of 2 found, 2 wrong" in page
    assert main("errors", tmp_path / "gone") == 2
    assert "predictions DIR makes one" in capsys.readouterr().err


def test_a_page_of_a_classifier_shows_names_of_classes_as_text(tmp_path: Path) -> None:
    assert main("errors", cls_folder(tmp_path)) == 0
    page = (tmp_path / "errors.html").read_text()
    assert "<script" not in page
    assert "dog 0.80, is cat" in page
    numbers = json.loads((tmp_path / "errors.json").read_text())
    assert (numbers["accuracy"], numbers["images"]) == (75.0, 4)
