"""Errors of a detector: how many of each kind, what each kind costs, and which images have most."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmvisionllama.arguments import takes
from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.saved_predictions import ANNOTATIONS, RESULTS, SavedPredictions
from mmvisionllama.files import read_json
from mmvisionllama.reports.precision_recall import draw_precision_recall, precision_by_recall
from mmvisionllama.run_reports.det_matching import (
    KINDS,
    Detected,
    Record,
    Shape,
    above,
    gains,
    judge,
    missed_objects,
    names_of,
)
from mmvisionllama.run_reports.pages import Picture, Section, Table, Text
from mmvisionllama.run_reports.ranked_images import RankedImage

_SHAPES: dict[Shape, str] = {"bbox": "boxes", "segm": "masks"}
_EVALUATIONS = len(KINDS) + 1
_PAIRS = 20
_MOST_CLASSES = 100
# RGB of boxes: right, wrong, missed.
_RIGHT, _WRONG, _MISSED = (26, 127, 55), (207, 34, 46), (9, 105, 218)


class DetErrors:
    """What a detector got wrong.

    Attributes:
        judged: Of boxes, and of masks where there are any: every detection with its kind.
        gained: Of both: points of AP50 that the errors of each kind cost.
    """

    legend = (
        "Ordered by F1, of right boxes among detections and of found among objects. Green boxes are right, "
        "red ones wrong; blue are missed objects."
    )

    def __init__(
        self,
        saved: SavedPredictions,
        score_thr: float = 0.3,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._saved, self._score_thr = saved, score_thr
        self.truth = _read_truth(saved)
        self.results = {shape: _read_results(saved, self.truth, shape) for shape in _shapes_of(saved)}
        self.judged = {shape: judge(self.truth, x, shape) for shape, x in self.results.items()}
        self.gained = {shape: gains(self.truth, x, shape, advance) for shape, x in self.judged.items()}
        self._sure = {shape: above(x, score_thr) for shape, x in self.judged.items()}

    def facts(self) -> dict[str, object]:
        """Return the numbers of the analysis, for JSON."""
        found: dict[str, object] = {
            "images": len(self._saved.images),
            "objects": len(self.truth["annotations"]),
        }
        for shape, told in self._by_shape():
            found[told] = {
                "counted from score": self._score_thr,
                "errors": self._counts(shape),
                "AP50 lost": self.gained[shape],
            }
        return found

    def _by_shape(self) -> list[tuple[Shape, str]]:
        return [(shape, _SHAPES[shape]) for shape in self.judged]

    def _counts(self, shape: Shape) -> dict[str, int]:
        counts = Counter(x.kind for x in self._sure[shape])
        counts["missed"] = len(missed_objects(self.truth, self._sure[shape]))
        return {"right": counts["right"], **{kind: counts[kind] for kind in KINDS}}

    def class_results(self) -> dict[str, dict[str, float]]:
        """Return AP50 of each class in percent; NaN for a class without objects."""
        names = list(self._saved.classes or ())
        curves = self._curves()
        found = {f"AP50 {_SHAPES[shape]}": 100 * x.mean(axis=0) for shape, x in curves.items() if x.size}
        return {key: dict(zip(names, map(float, values), strict=True)) for key, values in found.items()}

    def _curves(self) -> dict[str, NDArray]:
        return {
            shape: precision_by_recall(self.truth, self.results[shape], shape, self._saved.classes)
            for shape in self.judged
        }

    def ranked(self) -> list[RankedImage]:
        """Return every image by its share of right boxes and found objects (F1), the worst first."""
        shape = next(iter(self.judged))
        missed = missed_objects(self.truth, self._sure[shape])
        detections, objects, gone = (
            _by_image(x) for x in (self._sure[shape], self.truth["annotations"], missed)
        )
        order = []
        for number, image in enumerate(self._saved.images):
            found = [x for x in detections.get(image["id"], []) if x.kind != "ignored"]
            there = [x for x in objects.get(image["id"], []) if not x.get("iscrowd")]
            right = sum(x.kind == "right" for x in found)
            if found or there:
                told = f"{right} of {len(there)} found, {len(found) - right} wrong"
                draw = partial(_draw, found, gone.get(image["id"], []), names_of(self.truth))
                ranked = RankedImage(self._saved.name_of(number), image["image"], told, draw)
                both = len(found) + len(there)
                order.append((2 * right / both, -both, ranked))
        return [x[2] for x in sorted(order, key=lambda x: x[:2])]

    def sections(self) -> Iterator[Section]:
        """Yield the parts of the page."""
        blocks: list = [
            Text(
                f"Counted are detections of a score from {self._score_thr:g} at IoU 0.5. AP50 lost is by how "
                "much AP50 of all detections would rise without the errors of this kind alone, as TIDE "
                "(Bolya et al., 2020) has it; these do not add up to 100."
            )
        ]
        for shape, told in self._by_shape():
            counts, lost = self._counts(shape), self.gained[shape]
            rows = [[x, KINDS[x], f"{counts[x]:,}", f"{lost[x]:.2f}"] for x in KINDS]
            head = [f"{told}: {counts['right']:,} right", "", "number", "AP50 lost"]
            blocks.append(Table(head, rows))
        blocks.append(
            Picture.drawn("errors.png", self._draw_kinds(), "errors of each kind, and what they cost")
        )
        yield Section("Kinds of errors", blocks)
        yield Section("Each class", [self._classes(shape, told) for shape, told in self._by_shape()])
        if pairs := self._pairs():
            yield Section(
                "Classes taken for others", [Table(["class of the object", "taken for", "times"], pairs)]
            )
        curves = self._curves()
        if any(np.isfinite(x).any() for x in curves.values()):
            figure = draw_precision_recall(curves, self._saved.classes)
            told = "precision over recall at IoU 0.5, each class and their mean"
            yield Section("Precision and recall", [Picture.drawn("precision_recall.png", figure, told)])

    def _classes(self, shape: Shape, told: str) -> Table:
        names, average = names_of(self.truth), self.class_results().get(f"AP50 {told}", {})
        wrong = Counter((x.result["category_id"], x.kind) for x in self._sure[shape])
        missed = Counter(x["category_id"] for x in missed_objects(self.truth, self._sure[shape]))
        objects = Counter(x["category_id"] for x in self.truth["annotations"] if not x.get("iscrowd"))
        of_detections = [kind for kind in KINDS if kind != "missed"]
        rows = [
            [
                name,
                f"{objects[x]:,}",
                f"{average.get(name, np.nan):.1f}",
                *(f"{wrong[x, kind]:,}" for kind in ("right", *of_detections)),
                f"{missed[x]:,}",
            ]
            for x, name in list(names.items())[:_MOST_CLASSES]
        ]
        head = [f"{told}, predicted as", "objects", "AP50", "right", *of_detections, "missed"]
        return Table(head, rows, numbers=True)

    def _pairs(self) -> list[list[str]]:
        shape = next(iter(self.judged))
        names, category = names_of(self.truth), {x["id"]: x["category_id"] for x in self.truth["annotations"]}
        wrong = [x for x in self._sure[shape] if x.kind == "classification"]
        pairs = Counter((category[x.object_id], x.result["category_id"]) for x in wrong)
        return [
            [names[true], names[other], f"{count:,}"] for (true, other), count in pairs.most_common(_PAIRS)
        ]

    def _draw_kinds(self) -> Figure:
        figure = Figure(figsize=(10, 3.4), dpi=100, layout="constrained")
        left, right = figure.subplots(1, 2)
        at = np.arange(len(KINDS))
        width = 0.8 / len(self.judged)
        for number, (shape, told) in enumerate(self._by_shape()):
            counts = self._counts(shape)
            place = at + (number - (len(self.judged) - 1) / 2) * width
            left.bar(place, [counts[x] for x in KINDS], width=width, label=told)
            right.bar(place, [self.gained[shape][x] for x in KINDS], width=width, label=told)
        left.set_ylabel(f"errors of a score from {self._score_thr:g}")
        right.set_ylabel("AP50 lost")
        for ax in (left, right):
            ax.set_xticks(at, KINDS, rotation=30, ha="right")
            ax.grid(alpha=0.3, axis="y")
            ax.legend(fontsize="small")
        return figure


def evaluations_of(saved: SavedPredictions) -> int:
    """Return how often an analysis calls ``advance``."""
    return _EVALUATIONS * len(_shapes_of(saved))


def _shapes_of(saved: SavedPredictions) -> list[Shape]:
    shapes: list[Shape] = [shape for shape in _SHAPES if shape in (saved.facts.get("results") or ())]
    if not shapes:
        raise EvaluationError(
            f"{saved.folder} names no {' or '.join(RESULTS.values())}, so nothing was detected"
        )
    return shapes


def _read_truth(saved: SavedPredictions) -> Record:
    """Return the annotations of the images that were predicted, of the classes of the model."""
    file = saved.folder / ANNOTATIONS
    content = _json_of(file)
    kinds = {"images": list[dict], "annotations": list[dict], "categories": list[dict]}
    if not isinstance(content, dict) or not all(takes(x, content.get(key)) for key, x in kinds.items()):
        raise EvaluationError(f"{file} is no file of annotations in COCO's format")
    try:
        named = {str(x["name"]): x for x in content["categories"]}
        known = {x["id"] for x in content["images"]}
        here = {x["id"] for x in saved.images}
        lacking = [x for x in saved.classes if x not in named] or sorted(map(str, here - known))
        if lacking:
            raise EvaluationError(
                f"{file} lacks {lacking[0]!r}, which predictions.json has: they are of two tests"
            )
        categories = [named[x] for x in saved.classes]
        numbers = {x["id"] for x in categories}
        kept = [x for x in content["annotations"] if x["image_id"] in here and x["category_id"] in numbers]
        images = [x for x in content["images"] if x["id"] in here]
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{file} is no file of annotations in COCO's format: {error!r}") from error
    return {"images": images, "annotations": kept, "categories": categories}


def _read_results(saved: SavedPredictions, truth: Record, shape: Shape) -> list[Record]:
    """Return the detections; of masks without their boxes, whose area COCO would take for the mask's."""
    file = saved.folder / RESULTS[shape]
    content = _json_of(file)
    images, categories = ({x["id"] for x in truth[key]} for key in ("images", "categories"))
    if not takes(list[dict], content):
        raise EvaluationError(f"{file} is no result file in COCO's format: it lists no detections")
    for number, result in enumerate(content):
        place, known = (
            result.get("bbox" if shape == "bbox" else "segmentation"),
            result.get("image_id") in images,
        )
        fits = takes(list[float], place) and len(place) == 4 if shape == "bbox" else _is_mask(place)
        if not (
            known and fits and result.get("category_id") in categories and takes(float, result.get("score"))
        ):
            raise EvaluationError(f"{file}: detection {number} is none of this test's: {result!r:.80}")
    return [{key: x for key, x in result.items() if shape == "bbox" or key != "bbox"} for result in content]


def _is_mask(place: Any) -> bool:
    return (
        isinstance(place, dict)
        and takes(list[int], place.get("size"))
        and isinstance(place.get("counts"), str)
    )


def _json_of(file: Path) -> Any:
    try:
        return read_json(file)
    except ValueError as error:
        raise EvaluationError(f"{file}, beside predictions.json, cannot be read: {error}") from error


def _by_image(found: list) -> dict[Any, list]:
    images: dict[Any, list] = {}
    for x in found:
        images.setdefault((x.result if isinstance(x, Detected) else x)["image_id"], []).append(x)
    return images


def _draw(
    found: list[Detected], missed: list[Record], names: dict[int, str], pixels: NDArray, scale: float
) -> NDArray:
    """Draw boxes: right ones green, wrong ones red, missed objects blue."""
    pixels = np.ascontiguousarray(pixels)
    boxes = [(x, _MISSED, "") for x in missed]
    boxes += [
        (x.result, _RIGHT if x.kind == "right" else _WRONG, names[x.result["category_id"]])
        for x in sorted(found, key=lambda x: x.result["score"])
        if "bbox" in x.result
    ]
    for record, colour, name in boxes:
        x, y, width, height = (round(scale * float(value)) for value in record["bbox"])
        cv2.rectangle(pixels, (x, y), (x + width, y + height), colour, 2)
        cv2.putText(pixels, name, (x + 3, y + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return pixels
