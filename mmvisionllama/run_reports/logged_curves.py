"""Curves of a training from its scalar logs, each step once; and which way a metric is better."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLACE = {"iter", "step", "epoch"}
_OF_VALIDATION = {"time", "data_time"}  # beside the metrics
_ABSENT = -1  # COCO's word for a metric of objects of a size that do not occur

# Words of the hosts' metrics and of ours, in lower case; a number may follow.
_LESS = re.compile(r"\w*(loss|fid|error|mse|mae|nll)")
_MORE = re.compile(
    r"(top|acc|[am]acc|accuracy|m?iou|m?dice|m?fscore|f|score|m?precision|m?recall|m?ap|ar|auc|is|psnr|ssim)\d*"
)
_WORDS = re.compile(r"[a-z]+\d*")


@dataclass(frozen=True, eq=False)
class Curve:
    """What was logged under one name.

    Attributes:
        steps: (N,), training steps, rising.
        values: (N,), NaN or infinite where they were.
        seconds: (N,), of training until then: the logged time of a step, times the steps. Saving counts to
            the next step; the batches of a validation and pauses between stop and resume do not count.
    """

    steps: NDArray
    values: NDArray
    seconds: NDArray

    def median(self) -> float | None:
        """The median of the finite values."""
        good = self.values[np.isfinite(self.values)]
        return float(np.median(good)) if len(good) else None

    def not_finite(self) -> int:
        """Count the values that are NaN or infinite."""
        return int((~np.isfinite(self.values)).sum())

    def last(self) -> float:
        """The last value."""
        return float(self.values[-1])

    def best(self, *, greater: bool) -> tuple[int, float] | None:
        """Return step and value of the best finite value, the earliest of equal ones."""
        good = np.isfinite(self.values)
        if not good.any():
            return None
        values = np.where(good, self.values, -np.inf if greater else np.inf)
        at = int(values.argmax() if greater else values.argmin())
        return int(self.steps[at]), float(self.values[at])


def logged_curves(
    sessions: Iterable[Sequence[Mapping[str, Any]]], validations: Sequence[Mapping[str, Any]] | None
) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Make curves of training steps, and of validations, from the scalar logs of a training.

    Args:
        sessions: The records of each start, in their order. Where a step comes again, after a resume or as
            the NaN guard went back, all that was logged from there on before is dropped.
        validations: Of ``summary.json``, which knows their steps; None: as the scalar logs have them.
    """
    trained: list[Mapping[str, Any]] = []
    logged: list[Mapping[str, Any]] = []
    for record in (x for session in sessions for x in session):
        step = record.get("step")
        if not isinstance(step, int):
            continue
        if "iter" in record:
            _drop_from(step, trained)
            _drop_from(step, logged)
            trained.append(record)
        else:  # mmengine counts the validations of a training by epochs in epochs
            by_epoch = bool(trained) and "epoch" in trained[-1]
            step = trained[-1]["step"] if by_epoch else step
            metrics = {x: value for x, value in record.items() if x not in _PLACE | _OF_VALIDATION}
            _drop_from(step, logged)
            logged.append({"step": step, "metrics": metrics})
    steps = np.array([x["step"] for x in trained], float)
    times = np.array([_number(x.get("time")) for x in trained])
    clock = np.cumsum(np.nan_to_num(times) * np.diff(steps, prepend=0.0))
    names = dict.fromkeys(name for x in trained for name in x if name not in _PLACE)
    curves = {name: _curve([(x["step"], x.get(name)) for x in trained], steps, clock) for name in names}
    past = logged if validations is None else validations
    measured = dict.fromkeys(name for x in past for name in x["metrics"])
    found = {
        name: [(x["step"], x["metrics"][name]) for x in past if x["metrics"].get(name, _ABSENT) != _ABSENT]
        for name in measured
    }
    return (
        {name: curve for name, curve in curves.items() if len(curve.steps)},
        {name: _curve(points, steps, clock, gaps=True) for name, points in found.items() if points},
    )


def _drop_from(step: int, records: list[Mapping[str, Any]]) -> None:
    while records and records[-1]["step"] >= step:
        records.pop()


def _curve(points: Sequence[tuple[int, Any]], steps: NDArray, clock: NDArray, *, gaps: bool = False) -> Curve:
    """Make a curve of (step, value), where None stands for a number that JSON does not have.

    Args:
        steps, clock: Of the training, from which the times of the points follow.
        gaps: Whether None is a value that was not finite; else it was not logged.
    """
    kept = [(step, value) for step, value in points if gaps or value is not None]
    at = np.array([step for step, _ in kept], float)
    values = np.array([_number(value) for _, value in kept])
    seconds = np.interp(at, [0, *steps], [0, *clock]) if len(steps) else np.full(len(at), np.nan)
    return Curve(at.astype(int), values, seconds)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else np.nan


def is_greater_better(metric: str) -> bool | None:
    """Whether a greater value is better; None for a name that tells nothing."""
    words = _WORDS.findall(metric.lower())
    if any(map(_LESS.fullmatch, words)):
        return False
    return True if any(map(_MORE.fullmatch, words)) else None
