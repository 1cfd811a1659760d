"""Errors of a segmentor: confusion of pixels, errors at boundaries and inside, each class."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.saved_predictions import SavedPredictions
from mmvisionllama.files import why_no_file
from mmvisionllama.reports.naming import class_name
from mmvisionllama.reports.seg_pictures import label_colours
from mmvisionllama.run_reports.pages import Picture, Section, Table, Text
from mmvisionllama.run_reports.ranked_images import RankedImage

# Of the image's diagonal; within it a pixel is near a boundary, as for Boundary IoU (Cheng et al., 2021).
_BOUNDARY = 0.02
_MOST_NAMED = 40
_PAIRS = 20


class SegErrors:
    """What a segmentor got wrong.

    Attributes:
        matrix: (classes, classes), pixels by true class (rows) and predicted class.
        boundary: (classes, 2, 2), pixels of each true class: inside and at a boundary, right and wrong.
        scores: (N,), mean IoU of each image over the classes that its truth or prediction has, in percent.
    """

    legend = (
        "Ordered by mean IoU over the classes in truth or prediction. From above: image, truth, prediction."
    )

    def __init__(self, saved: SavedPredictions, advance: Callable[[int], None] = lambda count: None) -> None:
        self._saved, self.classes = saved, saved.classes
        count = len(saved.classes)
        self._ignored = saved.facts.get("ignored", 255)
        self.matrix = np.zeros((count, count), np.int64)
        self.boundary = np.zeros((count, 2, 2), np.int64)
        scores = []
        for image in saved.images:
            truth, predicted = (_labels(saved.folder / image[key]) for key in ("truth", "predicted"))
            scores.append(self._add(image, truth, predicted))
            advance(1)
        self.scores = np.array(scores)

    def _add(self, image: dict, truth: NDArray, predicted: NDArray) -> float:
        count = len(self.classes)
        if truth.shape != predicted.shape:
            file = self._saved.folder / image["predicted"]
            raise EvaluationError(f"{file} has {predicted.shape} pixels, its truth {truth.shape}")
        known = truth != self._ignored
        for key, labels in (("truth", truth[known]), ("predicted", predicted)):
            if labels.max(initial=0) >= count:
                raise EvaluationError(
                    f"{self._saved.folder / image[key]} has label {labels.max()}, beyond the {count} classes"
                )
        at_edge, wrong = near_boundary(truth)[known], (truth != predicted)[known]
        of_class = truth[known].astype(np.int64)
        pairs = np.bincount(of_class * count + predicted[known], minlength=count**2).reshape(count, count)
        self.matrix += pairs
        places = (of_class * 2 + at_edge) * 2 + wrong
        self.boundary += np.bincount(places, minlength=4 * count).reshape(count, 2, 2)
        ious = _ious(pairs)
        return 100 * float(np.nanmean(ious)) if np.isfinite(ious).any() else np.nan

    def facts(self) -> dict[str, object]:
        """Return the numbers of the analysis, for JSON."""
        inside, edge = self.boundary.sum(axis=0)
        wrong = max(int(inside[1] + edge[1]), 1)
        return {
            "images": len(self.scores),
            "mIoU": 100 * float(np.nanmean(_ious(self.matrix))),
            "pixel accuracy": 100 * float(np.trace(self.matrix) / max(self.matrix.sum(), 1)),
            "share of pixels near a boundary": 100 * float(edge.sum() / max(self.boundary.sum(), 1)),
            "share of wrong pixels near a boundary": 100 * float(edge[1] / wrong),
            "error near a boundary": 100 * float(edge[1] / max(edge.sum(), 1)),
            "error inside": 100 * float(inside[1] / max(inside.sum(), 1)),
            "confusion": self.matrix.tolist(),
        }

    def class_results(self) -> dict[str, dict[str, float]]:
        """Return IoU, accuracy, precision of each class, errors near boundaries and inside; in percent."""
        right = np.diagonal(self.matrix).astype(float)
        with np.errstate(invalid="ignore"):
            found = {
                "IoU": 100 * _ious(self.matrix),
                "accuracy": 100 * right / self.matrix.sum(axis=1),
                "precision": 100 * right / self.matrix.sum(axis=0),
                "wrong near a boundary": 100 * self.boundary[:, 1, 1] / self.boundary[:, 1].sum(axis=1),
                "wrong inside": 100 * self.boundary[:, 0, 1] / self.boundary[:, 0].sum(axis=1),
            }
        names = [class_name(self.classes, i) for i in range(len(self.classes))]
        return {key: dict(zip(names, map(float, values), strict=True)) for key, values in found.items()}

    def ranked(self) -> list[RankedImage]:
        """Return every image by its mean IoU, the worst first: image, truth, prediction."""
        order = np.argsort(np.nan_to_num(self.scores, nan=np.inf), kind="stable")
        return [
            RankedImage(
                self._saved.name_of(i),
                self._saved.images[i]["image"],
                f"mIoU {self.scores[i]:.1f}",
                partial(self._beside, self._saved.images[i]),
            )
            for i in order
        ]

    def _beside(self, image: dict, pixels: NDArray, scale: float) -> NDArray:
        palette = np.asarray(self._saved.facts.get("palette") or _grey(len(self.classes)), np.uint8)
        maps = [_labels(self._saved.folder / image[key]) for key in ("truth", "predicted")]
        coloured = [
            cv2.resize(label_colours(x, palette), pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            for x in maps
        ]
        return np.concatenate([pixels, *coloured])

    def sections(self) -> Iterator[Section]:
        """Yield the parts of the page."""
        facts = self.facts()
        yield Section(
            "Boundaries and inside",
            [
                Text(
                    f"{facts['share of wrong pixels near a boundary']:.1f}% of the wrong pixels are near a "
                    f"boundary of the truth, where {facts['share of pixels near a boundary']:.1f}% of all "
                    f"pixels are. Wrong are {facts['error near a boundary']:.1f}% of the pixels near a "
                    f"boundary and {facts['error inside']:.1f}% of those inside. Near is within "
                    f"{100 * _BOUNDARY:g}% of the image's diagonal; pixels that are not scored border on "
                    "others, too."
                ),
                Picture.drawn("boundaries.png", self._draw_boundaries(), _BOUNDARIES),
            ],
        )
        yield Section(
            "Confusion", [Picture.drawn("confusion.png", self._draw_confusion(), _CONFUSION), self._pairs()]
        )

    def _pairs(self) -> Table:
        wrong = self.matrix * (1 - np.eye(len(self.matrix), dtype=int))
        pairs = [divmod(int(x), len(wrong)) for x in np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]]
        pixels = np.maximum(self.matrix.sum(axis=1), 1)
        rows = [
            [
                *(class_name(self.classes, x) for x in (i, j)),
                f"{100 * wrong[i, j] / pixels[i]:.1f}%",
                f"{wrong[i, j]:,}",
            ]
            for i, j in pairs
            if wrong[i, j]
        ]
        return Table(["true class", "taken for", "of the class", "pixels"], rows)

    def _draw_confusion(self) -> Figure:
        count = len(self.classes)
        share = self.matrix / np.maximum(self.matrix.sum(axis=1, keepdims=True), 1)
        side = float(np.clip(0.35 * count, 4, 12))
        figure = Figure(figsize=(side + 1.5, side), dpi=100, layout="constrained")
        ax = figure.subplots()
        shown = ax.imshow(share, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
        figure.colorbar(shown, ax=ax, label="share of the true class")
        ax.set(xlabel="predicted", ylabel="true")
        if count <= _MOST_NAMED:
            names = [class_name(self.classes, i) for i in range(count)]
            ax.set_xticks(range(count), names, rotation=90)
            ax.set_yticks(range(count), names)
        return figure

    def _draw_boundaries(self) -> Figure:
        results = self.class_results()
        names = list(results["IoU"])
        width = float(np.clip(0.35 * len(names) + 2, 5, 14))
        figure = Figure(figsize=(width, 3.6), dpi=100, layout="constrained")
        ax = figure.subplots()
        at = np.arange(len(names))
        for shift, key in ((-0.2, "wrong near a boundary"), (0.2, "wrong inside")):
            ax.bar(at + shift, np.nan_to_num(list(results[key].values())), width=0.4, label=key)
        ax.set_ylabel("% of the class's pixels there")
        ax.legend(fontsize="small")
        ax.grid(alpha=0.3, axis="y")
        if len(names) <= _MOST_NAMED:
            ax.set_xticks(at, names, rotation=90 if max(map(len, names)) > 3 else 0)
        return figure


_BOUNDARIES = "wrong pixels of each class near boundaries and inside"
_CONFUSION = "true and predicted classes of pixels, in shares of the true class"


def near_boundary(labels: NDArray) -> NDArray[np.bool_]:
    """Return where another label is within 2% of the image's diagonal, at least a pixel; (H, W)."""
    distance = max(1, round(_BOUNDARY * float(np.hypot(*labels.shape))))
    window = np.ones((2 * distance + 1,) * 2, np.uint8)
    labels = labels.astype(np.uint16)
    return cv2.dilate(labels, window) != cv2.erode(labels, window)


def _ious(matrix: NDArray) -> NDArray:
    right = np.diagonal(matrix).astype(float)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
    return np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)


def _labels(file: Path) -> NDArray:
    if problem := why_no_file(file):
        raise EvaluationError(f"{file}, which predictions.json names, is {problem}")
    try:
        with Image.open(file) as opened:
            labels = np.asarray(opened)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise EvaluationError(f"{file} is no whole image of labels: {error}") from error
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise EvaluationError(f"{file} is no image of labels: it has shape {labels.shape} of {labels.dtype}")
    return labels


def _grey(count: int) -> list[list[int]]:
    return [[round(255 * i / max(count - 1, 1))] * 3 for i in range(count)]
