"""Nearest neighbours: separable features, the weights of votes, and none of itself."""

import pytest
import torch
from torch.nn.functional import one_hot

from mmvisionllama.evaluation import neighbours
from mmvisionllama.evaluation.neighbours import nearest, voted

LABELS = torch.arange(60) % 3


def test_separable_features_are_all_right() -> None:
    noise = 0.05 * torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    features = torch.cat((one_hot(LABELS).float(), torch.zeros(60, 5)), dim=1) + noise
    cosine, which = nearest(features[:40], features[40:], 20)
    assert cosine.shape == which.shape == (20, 20)
    assert torch.equal(voted(cosine, LABELS[which], 3, temperature=0.07), LABELS[40:])
    cosine, which = nearest(features, features, 5, same=True)
    assert not (which == torch.arange(60)[:, None]).any()
    assert torch.equal(voted(cosine, LABELS[which], 3), LABELS)


def test_parts_of_the_images_at_once_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    whole = nearest(features, features, 7, same=True)
    monkeypatch.setattr(neighbours, "_CHUNK", 8)
    for one, other in zip(whole, nearest(features, features, 7, same=True), strict=True):
        torch.testing.assert_close(one, other)


def test_a_low_temperature_follows_the_nearest_and_a_high_one_the_many() -> None:
    cosine, labels = torch.tensor([[0.9, 0.6, 0.6]]), torch.tensor([[0, 1, 1]])
    assert voted(cosine, labels, 2, temperature=0.07).item() == 0  # exp(0.3 / 0.07) = 73 > 2
    assert voted(cosine, labels, 2, temperature=10.0).item() == 1
    assert voted(cosine, labels, 2).item() == 1
