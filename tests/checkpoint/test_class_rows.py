import torch
from torch import Tensor

from mmvisionllama.checkpoint.class_rows import fit_classes


def head(rows: int, value: float, width: int = 2) -> Tensor:
    """Rows value, value + 1, ..."""
    return (torch.arange(rows, dtype=torch.float32) + value)[:, None].expand(rows, width).clone()


def test_rows_go_to_the_places_of_their_classes_and_new_ones_stay_as_they_are() -> None:
    theirs, ours = {"head.fc.weight": head(3, 10)}, {"head.fc.weight": head(4, 0)}
    fit = fit_classes(theirs, ours, ["cat", "dog", "fox"], ["fox", "owl", "cat", "yak"])
    assert fit.weights["head.fc.weight"][:, 0].tolist() == [12, 1, 10, 3]
    assert (fit.kept, fit.new, fit.dropped) == (("fox", "cat"), ("owl", "yak"), ("dog",))


def test_another_order_of_the_same_classes_is_put_right() -> None:
    weights = {"decode_head.conv_seg.bias": torch.tensor([1.0, 2.0, 3.0])}
    fit = fit_classes(weights, weights, ["a", "b", "c"], ["c", "a", "b"])
    assert fit.weights["decode_head.conv_seg.bias"].tolist() == [3, 1, 2]


def test_the_background_of_a_detector_stays_last_and_boxes_have_four_rows_a_class() -> None:
    names = ["roi_head.bbox_head.fc_cls.weight", "roi_head.bbox_head.fc_reg.weight"]
    theirs = dict(zip(names, (head(3, 0), head(8, 0)), strict=True))
    ours = dict(zip(names, (head(4, 50), head(12, 50)), strict=True))
    fit = fit_classes(theirs, ours, ["a", "b"], ["b", "new", "a"])
    assert fit.weights[names[0]][:, 0].tolist() == [1, 51, 0, 2]
    assert fit.weights[names[1]][:, 0].tolist() == [4, 5, 6, 7, 54, 55, 56, 57, 0, 1, 2, 3]


def test_a_head_of_unknown_classes_and_another_number_is_left_out() -> None:
    theirs, ours = {"head.fc.bias": head(5, 0)[:, 0]}, {"head.fc.bias": head(2, 0)[:, 0]}
    fit = fit_classes({**theirs, "backbone.x": head(1, 0)}, ours, None, ["a", "b"])
    assert list(fit.weights) == ["backbone.x"]
    assert fit.left_out == ("head.fc.bias",)
    assert "begin anew" in fit.notes("load_from=x.pth")[0]


def test_the_same_classes_and_layers_that_no_class_decides_change_nothing() -> None:
    weights = {"roi_head.bbox_head.fc_reg.bias": head(4, 0)[:, 0], "neck.fc.weight": head(3, 0)}
    assert not fit_classes(weights, weights, ["a", "b"], ["b", "a"]).is_changed
    cls = {"head.fc.weight": head(2, 0)}
    assert not fit_classes(cls, cls, ["a", "b"], ["a", "b"]).is_changed


def test_a_head_of_another_width_is_left_to_the_comparison_of_shapes() -> None:
    theirs, ours = {"head.fc.weight": head(3, 0, width=8)}, {"head.fc.weight": head(3, 0)}
    fit = fit_classes(theirs, ours, ["a", "b", "c"], ["c", "b", "a"])
    assert fit.weights["head.fc.weight"] is theirs["head.fc.weight"]
