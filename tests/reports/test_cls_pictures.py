"""predictions.png of a classifier."""

import pytest
import torch
from matplotlib.figure import Figure
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample

from mmvisionllama.reports.cls_pictures import ClsPicturesHook

META = {"classes": ("ant", "bee, honey bee")}


def sample(truth: int | None, predicted: int, score: float) -> DataSample:
    scores = torch.full((2,), 1 - score)
    scores[predicted] = score
    one = DataSample().set_pred_label(predicted).set_pred_score(scores)
    return one if truth is None else one.set_gt_label(truth)


def titles(figure: Figure) -> list[tuple[str, str]]:
    return [(ax.get_title(), ax.title.get_color()) for ax in figure.axes if ax.images]


def test_titles_name_the_prediction_and_under_a_wrong_one_the_truth() -> None:
    hook, img = ClsPicturesHook(), torch.zeros(3, 4, 6, dtype=torch.uint8)
    kept = [hook.keep(x, META, img) for x in (sample(1, 1, 0.75), sample(0, 1, 0.5), sample(None, 0, 0.875))]
    (right, green), (wrong, red), (unknown, neutral) = titles(hook.draw(kept, META))
    assert (right, wrong, unknown) == ("bee 0.75", "bee 0.50\n(is ant)", "ant 0.88")
    assert green == neutral != red


def test_pictures_show_what_the_pipeline_made_in_true_colours() -> None:
    bgr = torch.zeros(3, 4, 6, dtype=torch.uint8)
    bgr[0] = 200  # blue
    kept = ClsPicturesHook().keep(sample(0, 0, 0.9), META, bgr)
    assert kept["image"].shape == (4, 6, 3)
    assert kept["image"][0, 0].tolist() == [0, 0, 200]


def test_a_model_that_predicts_no_class_is_an_error_with_what_it_gave() -> None:
    with pytest.raises(TypeError, match=r"ClsPicturesHook draws pred_label.*\['bboxes'\]"):
        ClsPicturesHook().keep(BaseDataElement(bboxes=torch.zeros(1, 4)), META, torch.zeros(3, 4, 4))
