"""Classes of nearest neighbours: what the features of a pre-training tell, without another training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmvisionllama.errors import DataError
from mmvisionllama.evaluation.neighbours import nearest, numbered, voted
from mmvisionllama.finetuning.class_folders import has_class_folders, read_class_folders
from mmvisionllama.finetuning.found_data import FoundData
from mmvisionllama.inference.input_images import open_images
from mmvisionllama.inference.pooled_features import pooled_features
from mmvisionllama.inference.trained_model import TrainedModel

NEIGHBOURS = 10
_MOST = 10_000  # images whose features are kept


def neighbour_accuracy(
    features_ND: Tensor, labels: Sequence[str], held_MD: Tensor, held_labels: Sequence[str]
) -> float:
    """Return the share of held-out images, in percent, whose class most of their neighbours have.

    Neighbours are the ``NEIGHBOURS`` images of the largest cosine; each counts by its cosine.
    """
    names = sorted({*labels, *held_labels})
    cosine_MK, which_MK = nearest(features_ND, held_MD, NEIGHBOURS)
    found_M = voted(cosine_MK, numbered(labels, names)[which_MK], len(names))
    return 100 * (found_M == numbered(held_labels, names)).double().mean().item()


def probe(model: TrainedModel, found: FoundData) -> float | None:
    """Return the accuracy on the validation part of a pre-training, None where folders name no classes."""
    labels = _labels_of(found.root)
    if labels is None:
        return None
    parts = [[x.image for x in found.parts[name] if x.image in labels][:_MOST] for name in ("train", "val")]
    if not all(parts):
        return None
    features = [torch.cat(list(pooled_features(model, open_images(list(map(str, x)))))) for x in parts]
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
