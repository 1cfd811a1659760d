"""Accuracy of a classifier at each size of its images."""

import torch

from mmvisionllama.evaluation.accuracy_by_size import AccuracyBySize


def sample(size: tuple[int, int], right: bool) -> dict:
    """Give what a classifier of three classes says of an image of class 1."""
    scores = torch.tensor([0.1, 0.6, 0.3] if right else [0.6, 0.1, 0.3])
    return dict(img_shape=size, gt_label=torch.tensor([1]), pred_score=scores)


def test_images_count_at_their_own_size_and_in_all_in_whatever_order_they_come() -> None:
    metric = AccuracyBySize()
    metric.process(None, [sample((64, 64), True), sample((32, 48), False), sample((32, 32), True)])
    metric.process(None, [sample((32, 32), False), sample((32, 48), False)])
    found = metric.evaluate(5)
    by_size = {"accuracy/top1_32": 50.0, "accuracy/top1_32x48": 0.0, "accuracy/top1_64": 100.0}
    assert found == {"accuracy/top1": 40.0, **by_size}
    assert list(found)[1:] == list(by_size)
