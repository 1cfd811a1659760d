"""Pictures and curves of detectors, from predictions that are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, encode_mask_results
from mmengine.structures import InstanceData
from PIL import Image

from mmvisionllama.reports.det_pictures import DetPicturesHook
from mmvisionllama.reports.precision_recall import draw_precision_recall, precision_by_recall

CLASSES = ("cat", "dog")


@pytest.fixture
def sample(tmp_path: Path) -> DetDataSample:
    """Give an image of 40 x 20 px, seen at twice the size, with a cat at the left and two guesses."""
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(tmp_path / "image.png")
    masks = torch.zeros(2, 20, 40, dtype=torch.bool)
    masks[0, 5:15, 5:15] = True
    predicted = InstanceData(
        bboxes=torch.tensor([[5.0, 5, 15, 15], [20, 5, 30, 15]]),
        labels=torch.tensor([0, 1]),
        scores=torch.tensor([0.9, 0.1]),
        masks=masks,
    )
    truth = InstanceData(
        bboxes=torch.tensor([[5.0, 5, 15, 15]]),
        labels=torch.tensor([0]),
        masks=BitmapMasks(np.pad(np.ones((1, 10, 10), np.uint8), ((0, 0), (5, 5), (5, 25))), 20, 40),
    )
    meta = dict(img_path=str(tmp_path / "image.png"), ori_shape=(20, 40), scale_factor=(2.0, 2.0))
    return DetDataSample(pred_instances=predicted, gt_instances=truth, metainfo=meta)


def test_objects_are_kept_at_the_size_of_the_file_whatever_size_the_model_saw(sample: DetDataSample) -> None:
    kept = DetPicturesHook().keep(sample, dict(classes=CLASSES))
    assert kept["image"].shape == (20, 40, 3)
    assert kept["truth"]["boxes"].tolist() == [[5, 5, 15, 15]]
    assert kept["truth"]["masks"][0].shape == (20, 40)
    assert np.argwhere(kept["truth"]["masks"][0]).min(axis=0).tolist() == [5, 5]


def test_predictions_below_the_score_are_left_out(sample: DetDataSample) -> None:
    assert DetPicturesHook().keep(sample, {})["predicted"]["labels"].tolist() == [0]
    assert DetPicturesHook(score_thr=0.0).keep(sample, {})["predicted"]["labels"].tolist() == [0, 1]


def test_large_images_are_shrunk_with_their_boxes(sample: DetDataSample, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((512, 1024, 3), np.uint8)).save(tmp_path / "large.png")
    sample.set_metainfo(dict(img_path=str(tmp_path / "large.png"), scale_factor=(1.0, 1.0)))
    kept = DetPicturesHook().keep(sample, {})
    assert kept["image"].shape == (256, 512, 3)
    assert kept["predicted"]["boxes"].tolist() == [[2.5, 2.5, 7.5, 7.5]]


def test_the_picture_shows_boxes_and_names_of_both_sides(sample: DetDataSample) -> None:
    hook = DetPicturesHook()
    truth, predicted = hook.draw([hook.keep(sample, {})], dict(classes=CLASSES)).axes
    assert [text.get_text() for text in truth.texts] == ["cat"]
    assert [text.get_text() for text in predicted.texts] == ["cat 0.90"]
    (box,) = predicted.patches
    assert (box.get_x(), box.get_width()) == (4.5, 10)
    assert predicted.images[0].get_array()[10, 10].max() > 0.2  # the mask's colour on black
    assert predicted.images[0].get_array()[2, 2].max() == 0


def test_without_ground_truth_predictions_are_drawn_alone(sample: DetDataSample) -> None:
    del sample.gt_instances
    hook = DetPicturesHook()
    assert len(hook.draw([hook.keep(sample, {})], dict(classes=CLASSES)).axes) == 1


def test_a_model_that_finds_no_objects_is_an_error() -> None:
    with pytest.raises(TypeError, match="take the hook out of the config"):
        DetPicturesHook().keep(DetDataSample(), {})


def test_a_score_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"score_thr takes a number in \[0, 1\], got 3"):
        DetPicturesHook(score_thr=3)


@pytest.fixture
def truth(tmp_path: Path) -> str:
    """Write two images with a cat each, and no dog."""
    mask = np.zeros((20, 40), bool)
    mask[5:15, 5:15] = True
    rle = encode_mask_results([mask])[0]
    rle["counts"] = rle["counts"].decode()
    common = dict(category_id=3, bbox=[5, 5, 10, 10], area=100, iscrowd=0, segmentation=rle)
    content: dict[str, Any] = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", height=20, width=40) for i in (1, 2)],
        annotations=[dict(id=i, image_id=i, **common) for i in (1, 2)],
        categories=[dict(id=3, name="cat"), dict(id=8, name="dog")],
    )
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return str(tmp_path / "truth.json")


def test_precision_is_that_of_the_best_scores_that_reach_a_recall(truth: str) -> None:
    # The best guess is right, the second is wrong, the third finds the other cat.
    right = dict(category_id=3, bbox=[5, 5, 10, 10])
    guesses = [
        dict(image_id=1, score=0.9, **right),
        dict(image_id=2, score=0.8, category_id=3, bbox=[25, 5, 10, 10]),
        dict(image_id=2, score=0.7, **right),
    ]
    precision = precision_by_recall(truth, guesses, "bbox", CLASSES)
    assert precision.shape == (101, 2)
    assert precision[:51, 0] == pytest.approx(1.0)
    assert precision[51:, 0] == pytest.approx(2 / 3)
    assert np.isnan(precision[:, 1]).all()  # there is no dog to be found


def test_nothing_predicted_gives_an_empty_array_that_is_not_drawn(truth: str) -> None:
    nothing = precision_by_recall(truth, [], "bbox", CLASSES)
    assert nothing.shape == (0, 2)
    half = np.full((101, 2), 0.5)
    assert len(draw_precision_recall(dict(bbox=half, segm=nothing), CLASSES).axes) == 2


def test_the_curves_name_the_mean_and_the_bars_the_classes() -> None:
    values = np.stack([np.full(101, 1.0), np.full(101, 0.5)], axis=1)
    left, right = draw_precision_recall(dict(bbox=values), CLASSES).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["mean, AP50 75.0"]
    assert [bar.get_width() for bar in right.patches] == [100, 50]
    assert [text.get_text() for text in right.get_yticklabels()] == ["cat", "dog"]
