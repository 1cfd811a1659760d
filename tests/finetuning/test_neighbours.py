"""The classes of nearest neighbours."""

import torch

from mmvisionllama.finetuning.neighbours import neighbour_accuracy


def test_features_that_tell_classes_apart_find_them_and_others_do_not() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = ["a", "b", "c"] * 20
    centres = torch.eye(3).repeat(20, 1)
    noise = torch.randn(60, 3, generator=draw)
    told, untold = centres + 0.1 * noise, noise
    assert neighbour_accuracy(told, labels, told[:9] * 7, labels[:9]) == 100
    assert neighbour_accuracy(untold[9:], labels[9:], untold[:9], labels[:9]) < 80


def test_a_class_without_neighbours_is_never_found() -> None:
    assert neighbour_accuracy(torch.ones(1, 2), ["a"], torch.ones(2, 2), ["a", "b"]) == 50
