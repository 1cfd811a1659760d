"""Which labels a model learns from, or a metric compares with, and whether loaded samples have them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmvisionllama.checks.evaluators import LABEL_METRICS, name_of

# Where a sample of the hosts keeps labels -> what a pipeline lacks that does not load them.
_FIX = {
    "gt_label": "a data set with with_label=True, and PackInputs",
    "gt_sem_seg": "dict(type='LoadAnnotations')",
    "gt_instances.bboxes": "dict(type='LoadAnnotations', with_bbox=True)",
    "gt_instances.labels": "dict(type='LoadAnnotations', with_bbox=True)",
    "gt_instances.masks": "dict(type='LoadAnnotations', with_bbox=True, with_mask=True)",
}


def labels_needed(
    model: Mapping[str, Any], evaluated: bool, metrics: Sequence[Mapping[str, Any]] = ()
) -> tuple[str, ...]:
    """Return the places of labels in samples that a config's model learns from, or that its metrics need."""
    names = {name_of(x) for x in metrics if not x.get("format_only")}
    if evaluated:
        found = ("gt_label",) if names & LABEL_METRICS else ()
        return found + (("gt_sem_seg",) if "IoUMetric" in names else ())
    if model.get("decode_head"):
        return ("gt_sem_seg",)
    stages = model.get("roi_head")
    if stages or model.get("bbox_head"):
        masks = ("gt_instances.masks",) if (stages or {}).get("mask_head") else ()
        return ("gt_instances.bboxes", "gt_instances.labels", *masks)
    return ("gt_label",) if (model.get("head") or {}).get("num_classes") else ()


def lacking(sample: Any, needed: Sequence[str], evaluated: bool) -> str | None:
    """Say which label a loaded sample lacks, and what loads it; None if it has all."""
    for path in needed:
        place = sample
        for key in path.split("."):
            if key not in place:
                use = "its metrics compare with" if evaluated else "the model learns from"
                return f"its pipeline loads no {path}, which {use}; it lacks {_FIX[path]}"
            place = getattr(place, key)
    return None
