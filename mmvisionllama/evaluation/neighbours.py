"""Classes by nearest neighbours of features, exactly: every pair of images is compared."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

_CHUNK = 1024  # images that are compared with all others at once


def nearest(features_ND: Tensor, held_MD: Tensor, count: int, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Return the cosines and the indices of the nearest neighbours of held-out images, (M, K) each.

    Args:
        features_ND: Of the images among which the neighbours are.
        count: K; all of them where there are fewer.
        same: The held-out images are these images in their order; none is its own neighbour.
    """
    known_ND, held_MD = normalize(features_ND, dim=1), normalize(held_MD, dim=1)
    count = min(count, len(known_ND) - same)
    best, which = [], []
    for start in range(0, len(held_MD), _CHUNK):
        cosine_mN = held_MD[start : start + _CHUNK] @ known_ND.T
        if same:
            own_m = torch.arange(len(cosine_mN))
            cosine_mN[own_m, own_m + start] = -torch.inf
        found = cosine_mN.topk(count, dim=1)
        best.append(found.values)
        which.append(found.indices)
    return torch.cat(best), torch.cat(which)


def voted(
    cosine_MK: Tensor, label_MK: Tensor, num_classes: int, *, temperature: float | None = None
) -> Tensor:
    """Return the class for which the neighbours of each image vote, (M,).

    Args:
        temperature: A neighbour counts by exp(cosine / temperature), as in DINO (Caron et al., 2021). None:
            by its cosine.
    """
    weight_MK = cosine_MK if temperature is None else (cosine_MK / temperature).exp()
    votes_MC = torch.zeros(len(cosine_MK), num_classes, dtype=weight_MK.dtype)
    return votes_MC.scatter_add_(1, label_MK, weight_MK).argmax(dim=1)


def numbered(labels: Sequence[str], names: Sequence[str]) -> Tensor:
    """Return the index of each label among the names, (N,)."""
    place = {name: i for i, name in enumerate(names)}
    return torch.tensor([place[x] for x in labels], dtype=torch.long)
