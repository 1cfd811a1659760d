"""Matching of detections with objects, and the kind of each error, as TIDE (Bolya et al., 2020) has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MATCH, BACKGROUND = 0.5, 0.1  # IoU from which objects match, and up to which there is nothing
KINDS = {
    "classification": "at an object, but of another class",
    "localisation": "of the right class, but beside its object (IoU 0.1 to 0.5)",
    "both": "beside an object, and of another class",
    "duplicate": "of an object that a surer one has found",
    "background": "where no object is (IoU up to 0.1)",
    "missed": "an object that none of the above is about",
}
# With one of these an object is found, but wrongly; otherwise it is missed.
_ABOUT = ("classification", "localisation")
Shape = Literal["bbox", "segm"]
Record = dict[str, Any]  # an annotation or a result in COCO's format


@dataclass(frozen=True)
class Detected:
    """A detection, judged.

    Attributes:
        result: In COCO's format.
        kind: A key of ``KINDS``, ``right``, or ``ignored`` at a crowd.
        object_id: Of the annotation that it is about, None for the background.
    """

    result: Record
    kind: str
    object_id: int | None


def evaluated(truth: Record, results: Sequence[Record], shape: Shape) -> Any:
    """Return COCO's evaluation at IoU 0.5, after which annotations say which detection matched them."""
    from faster_coco_eval import COCO, COCOeval_faster

    objects = COCO(truth)
    found = objects.loadRes([dict(x) for x in results])
    evaluation = COCOeval_faster(objects, found, shape, extra_calc=True)
    evaluation.params.iouThrs = np.array([MATCH])
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def average_precision(truth: Record, results: Sequence[Record], shape: Shape) -> float:
    """Return AP50 in percent; 0 where nothing was detected."""
    if not results:
        return 0.0
    precision = evaluated(truth, results, shape).eval["precision"][0, :, :, 0, -1]
    known = precision[precision > -1]
    return 100 * float(known.mean()) if known.size else 0.0


def judge(truth: Record, results: Sequence[Record], shape: Shape) -> list[Detected]:
    """Say of every detection whether it is right, or which kind of error.

    Args:
        truth: ``images``, ``annotations`` and ``categories`` in COCO's format.
        results: In COCO's format.
        shape: Boxes or masks overlap.
    """
    if not results:
        return []
    from faster_coco_eval.core.mask import iou

    evaluation = evaluated(truth, results, shape)
    objects, found = evaluation.cocoGt, evaluation.cocoDt
    matched = {int(x["id"]): int(x["gt_id"]) for x in found.anns.values() if "gt_id" in x}
    used = {number for number in matched.values() if not objects.anns[number].get("iscrowd")}
    judged = []
    for image in truth["images"]:
        here = sorted(found.imgToAnns.get(image["id"], []), key=lambda x: -x["score"])
        there = objects.imgToAnns.get(image["id"], [])
        crowds = [int(x.get("iscrowd", 0)) for x in there]
        if here and there:
            overlap = iou(
                [_shape_of(found, x, shape) for x in here],
                [_shape_of(objects, x, shape) for x in there],
                crowds,
            )
        for row, result in enumerate(here):
            ious = np.asarray(overlap[row]) if there else np.empty(0)
            about = matched.get(result["id"])
            if about is not None:
                kind = "ignored" if objects.anns[about].get("iscrowd") else "right"
            else:
                kind, about = _kind(result, there, ious, used)
            judged.append(Detected(results[result["id"] - 1], kind, about))  # as loadRes numbers them
    return judged


def _shape_of(coco: Any, annotation: Record, shape: Shape) -> Any:
    return list(map(float, annotation["bbox"])) if shape == "bbox" else coco.annToRLE(annotation)


def _kind(result: Record, there: Sequence[Record], ious: NDArray, used: set[int]) -> tuple[str, int | None]:
    """Return the kind of an error, and the object that it is about, in TIDE's order of questions."""
    crowd = np.array([bool(x.get("iscrowd")) for x in there], dtype=bool)
    ious = np.where(crowd, 0.0, ious)
    same = np.array([x["category_id"] == result["category_id"] for x in there], dtype=bool)
    taken = np.array([x["id"] in used for x in there], dtype=bool)
    of_class, of_others = np.where(same, ious, 0.0), np.where(same, 0.0, ious)
    for kind, overlaps, least, most in (
        ("localisation", of_class, BACKGROUND, MATCH),
        ("classification", of_others, MATCH, 1.0),
        ("duplicate", np.where(taken, of_class, 0.0), MATCH, 1.0),
        ("both", ious, np.nextafter(BACKGROUND, 1), 1.0),
    ):
        best = int(overlaps.argmax()) if len(overlaps) else -1
        if best >= 0 and least <= overlaps[best] <= most:
            return kind, there[best]["id"]
    return "background", None


def missed_objects(truth: Record, judged: Sequence[Detected]) -> list[Record]:
    """Return the objects that no detection found, and no error of class or place is about."""
    about = {x.object_id for x in judged if x.kind in ("right", *_ABOUT)}
    return [x for x in truth["annotations"] if x["id"] not in about and not x.get("iscrowd")]


def gains(
    truth: Record,
    judged: Sequence[Detected],
    shape: Shape,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, float]:
    """Return by how many points of AP50 the detector would be better without each kind of error alone.

    An error of class or place is mended where its object was not found, by the surest detection of that; all
    other errors are left out, and objects that were missed are taken as if they were not there.
    """
    from faster_coco_eval import COCO

    objects = COCO(truth)
    now = average_precision(truth, [x.result for x in judged], shape)
    advance(1)
    found = {x.object_id for x in judged if x.kind == "right"}
    gained = {}
    for kind in KINDS:
        kept = [x.result for x in judged if x.kind != kind]
        mended, of_kind = (
            set(found),
            sorted((x for x in judged if x.kind == kind), key=lambda x: -x.result["score"]),
        )
        for x in of_kind if kind in _ABOUT else ():
            if x.object_id not in mended:
                mended.add(x.object_id)
                kept.append(_mended(x.result, objects, x.object_id, shape))
        there = truth
        if kind == "missed":
            gone = {x["id"] for x in missed_objects(truth, judged)}
            there = {**truth, "annotations": [x for x in truth["annotations"] if x["id"] not in gone]}
        gained[kind] = average_precision(there, kept, shape) - now
        advance(1)
    return gained


def _mended(result: Record, objects: Any, object_id: int | None, shape: Shape) -> Record:
    """Return a detection with class and shape of its object."""
    about = objects.anns[object_id]
    place = {"bbox": about["bbox"]} if shape == "bbox" else {"segmentation": objects.annToRLE(about)}
    return {**result, "category_id": about["category_id"], **place}


def above(judged: Sequence[Detected], score: float) -> list[Detected]:
    """Return the detections of at least this score."""
    return [x for x in judged if x.result["score"] >= score]


def names_of(truth: Mapping[str, Any]) -> dict[int, str]:
    """Return the name of each category by its id."""
    return {x["id"]: str(x["name"]) for x in truth["categories"]}
