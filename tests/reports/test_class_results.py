"""Results of each class, told by the hosts' own metrics of predictions that are known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric, FasterCocoMetric
from mmengine.evaluator import BaseMetric, Evaluator
from mmpretrain.evaluation import Accuracy

from mmvisionllama.reports.class_results import ClassResults


def evaluated(metric: BaseMetric, results: list, classes: tuple[str, ...]) -> tuple[ClassResults, dict]:
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dict(classes=classes)
    found = ClassResults()
    for _ in range(2):  # an evaluator is followed anew at every validation
        found.follow(evaluator)
        assert found.found == {}
        metric.results.extend(results)
        given = evaluator.evaluate(len(results))
    return found, given


@pytest.mark.parametrize("of_labels", [False, True])
def test_accuracy_of_classes_is_that_of_their_images(of_labels: bool) -> None:
    scores = torch.eye(3)[[0, 0, 1, 1, 0]]
    guesses = [dict(pred_label=x.argmax()[None]) if of_labels else dict(pred_score=x) for x in scores]
    results = [
        dict(gt_label=torch.tensor([label]), **guess)
        for label, guess in zip([0, 0, 0, 1, 1], guesses, strict=True)
    ]
    found, given = evaluated(Accuracy(), results, ("cat", "dog", "fox"))
    assert given["accuracy/top1"] == pytest.approx(60)
    right = found.by_name()["accuracy"]
    assert (right["cat"], right["dog"]) == (pytest.approx(66.667), 50)
    assert of_labels or np.isnan(right["fox"])  # without scores nobody says that there is a third


def test_equal_names_of_classes_are_told_apart() -> None:
    results = [dict(gt_label=torch.tensor([i]), pred_score=torch.eye(2)[0]) for i in range(2)]
    found, _ = evaluated(Accuracy(), results, ("crane", "crane"))
    assert found.by_name() == {"accuracy": {"crane (0)": 100, "crane (1)": 0}}


@pytest.mark.parametrize("kind", [CocoMetric, FasterCocoMetric])
def test_average_precision_is_that_of_the_class_whatever_its_category(tmp_path: Path, kind: type) -> None:
    box = dict(iscrowd=0, area=100, bbox=[5, 5, 10, 10])
    truth = dict(
        images=[dict(id=1, file_name="1.jpg", height=20, width=40)],
        categories=[dict(id=8, name="dog"), dict(id=3, name="cat"), dict(id=9, name="fox")],
        annotations=[dict(id=i, image_id=1, category_id=c, **box) for i, c in ((1, 8), (2, 3))],
    )
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    metric = kind(ann_file=str(tmp_path / "truth.json"), metric="bbox")
    # The dog is found to the pixel; the cat's box covers 0.6 of the union, so of ten levels three count it.
    boxes = np.array([[5.0, 5, 15, 15], [5, 5, 15, 11.2]])
    guess = dict(img_id=1, bboxes=boxes, labels=np.array([0, 1]), scores=np.array([0.9, 0.8]))
    found, given = evaluated(metric, [({}, guess)], ("dog", "cat", "fox"))
    average, at_half = (found.by_name()[name] for name in ("AP boxes", "AP50 boxes"))
    assert (average["dog"], average["cat"]) == (pytest.approx(100), pytest.approx(30))
    assert (at_half["dog"], at_half["cat"]) == (pytest.approx(100), pytest.approx(100))
    assert np.isnan(average["fox"])
    assert given["coco/bbox_mAP"] == pytest.approx(0.65)
    assert set(given) == {f"coco/bbox_mAP{x}" for x in ("", "_50", "_75", "_s", "_m", "_l")}
