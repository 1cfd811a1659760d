"""Fit the classifying layers of a checkpoint to a model of other classes: rows by the names of classes."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mmvisionllama.checkpoint.kept_config import facts_beside
from mmvisionllama.suggestions import shortened

# Last layers of the hosts' heads -> rows of each class, and of what is no class (the background).
_LAYERS = {
    "head.fc": (1, 0),
    "head.layers.head": (1, 0),
    "conv_seg": (1, 0),
    "conv_logits": (1, 0),
    "fc_cls": (1, 1),
    "fc_reg": (4, 0),
}
_NAME = re.compile(rf"(?:.*\.)?({'|'.join(map(re.escape, _LAYERS))})\.(?:weight|bias)")


@dataclass(frozen=True)
class ClassFit:
    """Weights of a checkpoint that fit the classes of a model.

    Attributes:
        kept, new, dropped: Names of classes that both have, the model alone, and the checkpoint alone.
        mapped: Layers whose rows were put to the places of their classes.
        left_out: Layers whose classes are unknown, and of another number: they begin anew.
        anew: Weights of another shape that a config says may begin anew.
    """

    weights: dict[str, Tensor]
    kept: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether the weights are other than in the checkpoint."""
        return bool(self.mapped or self.left_out or self.anew)

    def without(self, names: Collection[str]) -> "ClassFit":
        """Leave weights out, which begin anew."""
        kept = {name: x for name, x in self.weights.items() if name not in names}
        return replace(self, weights=kept, anew=tuple(names))

    def notes(self, source: str) -> list[str]:
        """Say in lines what became of the classes, none if they are the same."""
        lines = []
        if self.mapped:
            groups = (("kept", self.kept), ("new", self.new), ("dropped", self.dropped))
            told = "; ".join(f"{len(x)} {what} ({shortened(x)})" for what, x in groups if x)
            lines.append(f"{source}: rows of {shortened(self.mapped)} by class: {told}")
        if self.left_out:
            lines.append(
                f"{source}: {shortened(self.left_out)} are of another number of classes and begin anew"
            )
        if self.anew:
            lines.append(
                f"{source}: of another shape and accepted, so these begin anew: {shortened(self.anew)}"
            )
        return lines


def classes_of_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> tuple[str, ...] | None:
    """Return the names of the classes that a checkpoint was trained on, None if it does not tell."""
    kept = (checkpoint.get("meta") or {}).get("dataset_meta") or facts_beside(path)
    names = kept.get("classes") or kept.get("CLASSES") if isinstance(kept, Mapping) else None
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else None


def fit_classes(
    weights: Mapping[str, Tensor],
    model: Mapping[str, Tensor],
    there: Sequence[str] | None,
    here: Sequence[str] | None,
) -> ClassFit:
    """Put the rows of classifying layers where the model has their classes.

    Rows of classes that the checkpoint lacks stay as the model has them. Where classes of one side are not
    known, layers of one shape are taken as they are, those of another number of rows are left out.

    Args:
        weights: Of the checkpoint.
        model: Of the model, with its first values.
        there, here: Names of the classes, in the order of their labels.
    """
    if there is not None and here is not None and list(there) == list(here):
        return ClassFit(dict(weights))
    fitted, mapped, left_out = dict(weights), [], []
    for name, theirs in weights.items():
        ours = model.get(name)
        layer = _NAME.fullmatch(name)
        if layer is None or ours is None or theirs.ndim == 0 or theirs.shape[1:] != ours.shape[1:]:
            continue
        each, beside = _LAYERS[layer[1]]
        if len(theirs) == each and len(ours) == each and (each, beside) == (4, 0):
            continue  # boxes that no class decides
        if _has_rows(theirs, there, each, beside) and _has_rows(ours, here, each, beside):
            fitted[name] = _by_class(theirs, ours, list(there), list(here), each)
            mapped.append(name)
        elif theirs.shape != ours.shape:
            del fitted[name]
            left_out.append(name)
    both = [x for x in here or () if x in (there or ())]
    return ClassFit(
        fitted,
        kept=tuple(both),
        new=tuple(x for x in here or () if x not in both),
        dropped=tuple(x for x in there or () if x not in both),
        mapped=tuple(mapped),
        left_out=tuple(left_out),
    )


def _has_rows(layer: Tensor, classes: Sequence[str] | None, each: int, beside: int) -> bool:
    return classes is not None and len(layer) == len(classes) * each + beside


def _by_class(theirs: Tensor, ours: Tensor, there: list[str], here: list[str], each: int) -> Tensor:
    rows = ours.detach().clone().to(theirs.dtype)
    for new, name in enumerate(here):
        if name in there:
            old = there.index(name)
            rows[new * each : (new + 1) * each] = theirs[old * each : (old + 1) * each]
    rows[len(here) * each :] = theirs[len(there) * each :]
    return rows
