"""Errors of a classifier: confusion, confident mistakes, calibration, each class."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmvisionllama.evaluation.saved_predictions import SavedPredictions
from mmvisionllama.reports.confusion import draw_confusion
from mmvisionllama.reports.naming import class_name
from mmvisionllama.run_reports.pages import Block, Picture, Section, Table, Text
from mmvisionllama.run_reports.ranked_images import RankedImage, gallery

_BINS = 15  # of the confidence, as usual for the expected calibration error
_PAIRS = 20
_SHOWN = 24


class ClsErrors:
    """What a classifier got wrong.

    Attributes:
        matrix: (classes, classes), images by true class (rows) and predicted class.
        confidence: (N,), score of the predicted class; NaN where it was not finite.
        right: (N,), bool.
    """

    legend = "Ordered by the score of the true class. Below each: the predicted class and its score."

    def __init__(self, saved: SavedPredictions) -> None:
        self._saved, self.classes = saved, saved.classes
        count = len(saved.classes)
        self.truth = np.array([x["truth"] for x in saved.images])
        self.predicted = np.array([x["labels"][0] for x in saved.images])
        self.confidence = np.array([x["scores"][0] for x in saved.images], dtype=float)
        self._of_truth = np.array([x["truth_score"] for x in saved.images], dtype=float)
        self.right = self.truth == self.predicted
        pairs = np.bincount(self.truth * count + self.predicted, minlength=count**2)
        self.matrix = pairs.reshape(count, count)

    def facts(self) -> dict[str, object]:
        """Return the numbers of the analysis, for JSON."""
        gap, _ = self.calibration()
        top = [any(label == x["truth"] for label in x["labels"]) for x in self._saved.images]
        return {
            "images": len(self.truth),
            "accuracy": 100 * float(self.right.mean()),
            f"accuracy among the {len(self._saved.images[0]['labels'])} likeliest": 100 * float(np.mean(top)),
            "expected calibration error": gap,
            "mean confidence": 100 * float(np.nanmean(self.confidence)),
            "confusion": self.matrix.tolist(),
        }

    def class_results(self) -> dict[str, dict[str, float]]:
        """Return recall and precision of each class, in percent; NaN for a class that did not occur."""
        right = np.diagonal(self.matrix).astype(float)
        with np.errstate(invalid="ignore"):
            found = {
                "accuracy": 100 * right / self.matrix.sum(axis=1),
                "precision": 100 * right / self.matrix.sum(axis=0),
            }
        names = [class_name(self.classes, i) for i in range(len(self.classes))]
        return {key: dict(zip(names, map(float, values), strict=True)) for key, values in found.items()}

    def calibration(self) -> tuple[float, list[tuple[float, float, int]]]:
        """Return the expected calibration error in percent, and mean confidence, accuracy, count of each bin.

        Guo et al., 2017: 15 bins of equal width; empty ones are left out.
        """
        known = np.isfinite(self.confidence)
        place = np.clip((self.confidence[known] * _BINS).astype(int), 0, _BINS - 1)
        bins = []
        for number in np.unique(place):
            inside = place == number
            of_bin = self.confidence[known][inside], self.right[known][inside]
            bins.append((float(of_bin[0].mean()), float(of_bin[1].mean()), int(inside.sum())))
        total = max(sum(count for *_, count in bins), 1)
        return 100 * sum(count * abs(mean - right) for mean, right, count in bins) / total, bins

    def ranked(self) -> list[RankedImage]:
        """Return every image by the score of its true class, the worst first."""
        order = np.argsort(np.nan_to_num(self._of_truth, nan=-1.0), kind="stable")
        return [self._ranked(i) for i in order]

    def _ranked(self, index: int) -> RankedImage:
        image = self._saved.images[index]
        found, truth = (class_name(self.classes, x) for x in (image["labels"][0], image["truth"]))
        told = f"{found} {self.confidence[index]:.2f}" + ("" if self.right[index] else f", is {truth}")
        return RankedImage(self._saved.name_of(index), image["image"], told)

    def sections(self) -> Iterator[Section]:
        """Yield the parts of the page."""
        yield Section("Confusion", self._confusion())
        mistakes = [
            i for i in np.argsort(-np.nan_to_num(self.confidence), kind="stable") if not self.right[i]
        ]
        shown = [self._ranked(i) for i in mistakes[:_SHOWN]]
        told = f"{len(mistakes):,} of {len(self.right):,} images got a wrong class. The surest of them:"
        yield Section("Most confident mistakes", [Text(told), *gallery(shown, "mistake")])
        gap, bins = self.calibration()
        yield Section(
            "Calibration",
            [
                Text(
                    f"Expected calibration error {gap:.2f}%: the mean distance of confidence and accuracy "
                    f"over {_BINS} bins of the confidence. Below the diagonal the model is surer than right."
                ),
                Picture.drawn("calibration.png", draw_calibration(bins), "accuracy by confidence"),
            ],
        )

    def _confusion(self) -> list[Block]:
        wrong = self.matrix * (1 - np.eye(len(self.matrix), dtype=int))
        pairs = [divmod(int(x), len(wrong)) for x in np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]]
        images = np.maximum(self.matrix.sum(axis=1), 1)
        rows = [
            [
                *(class_name(self.classes, x) for x in (i, j)),
                str(wrong[i, j]),
                f"{100 * wrong[i, j] / images[i]:.1f}%",
            ]
            for i, j in pairs
            if wrong[i, j]
        ]
        picture = Picture.drawn(
            "confusion.png", draw_confusion(self.matrix, self.classes), "true and predicted classes"
        )
        if not rows:
            return [picture, Text("No image got a wrong class.")]
        return [picture, Table(["true class", "taken for", "images", "of the class"], rows)]


def draw_calibration(bins: Sequence[tuple[float, float, int]]) -> Figure:
    """Draw accuracy over confidence, and how many images have which confidence."""
    figure = Figure(figsize=(10, 3.6), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    mean, share, count = (np.array(x) for x in zip(*bins, strict=True)) if bins else (np.empty(0),) * 3
    left.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="confidence is accuracy")
    left.plot(mean, share, marker="o", label="this model")
    left.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    left.legend(loc="upper left", fontsize="small")
    right.bar(_middles(mean), count, width=0.9 / _BINS)
    right.set(xlim=(0, 1), xlabel="confidence", ylabel="images")
    for ax in (left, right):
        ax.grid(alpha=0.3)
    return figure


def _middles(confidence: NDArray) -> NDArray:
    return (np.clip((confidence * _BINS).astype(int), 0, _BINS - 1) + 0.5) / _BINS
