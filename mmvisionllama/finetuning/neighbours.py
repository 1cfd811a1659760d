"""Classes of nearest neighbours: what the features of a pre-training tell, without another training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.class_folders import has_class_folders, read_class_folders
from mmvisionllama.finetuning.found_data import FoundData
from mmvisionllama.inference.trained_model import TrainedModel

NEIGHBOURS = 10
_MOST = 10_000  # images whose features are kept


def neighbour_accuracy(
    features_ND: Tensor, labels: Sequence[str], held_MD: Tensor, held_labels: Sequence[str]
) -> float:
    """Return the share of held-out images, in percent, whose class most of their neighbours have.

    Neighbours are the ``NEIGHBOURS`` images of the largest cosine; each counts by its cosine.
    """
    names = sorted({*labels})
    places = torch.tensor([names.index(x) for x in labels])
    count = min(NEIGHBOURS, len(places))
    cosine_MN = normalize(held_MD, dim=1) @ normalize(features_ND, dim=1).T
    best_MK, which_MK = cosine_MN.topk(count, dim=1)
    votes_MC = torch.zeros(len(held_MD), len(names)).scatter_add_(1, places[which_MK], best_MK)
    found = [names[i] for i in votes_MC.argmax(dim=1)]
    return 100 * sum(a == b for a, b in zip(found, held_labels, strict=True)) / len(held_labels)


def probe(model: TrainedModel, found: FoundData) -> float | None:
    """Return the accuracy on the validation part of a pre-training, None where folders name no classes."""
    labels = _labels_of(found.root)
    if labels is None:
        return None
    parts = [[x.image for x in found.parts[name] if x.image in labels][:_MOST] for name in ("train", "val")]
    if not all(parts):
        return None
    features = [_features(model, images) for images in parts]
    named = [[labels[x] for x in images] for images in parts]
    return neighbour_accuracy(features[0], named[0], features[1], named[1])


def _labels_of(root: Path) -> dict[Path, str] | None:
    if not has_class_folders(root):
        return None
    try:
        classes = read_class_folders(root)
    except DataError:  # folders that are no classes
        return None
    return {x.image: x.label for part in classes.parts.values() for x in part}


def _features(model: TrainedModel, images: Sequence[Path]) -> Tensor:
    """Return the mean over all patches of each image, (N, D)."""
    (tokens,) = model.features(list(map(str, images)))
    return tokens.flatten(2).mean(2) if tokens.ndim == 4 else tokens.mean(1)
