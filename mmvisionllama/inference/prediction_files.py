"""Predictions in a folder: a picture of each image, and one file with all numbers."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmvisionllama.errors import InputError
from mmvisionllama.files import as_json, atomic_path
from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.inference.predictions import (
    Classification,
    Detection,
    Prediction,
    Reconstruction,
    Segmentation,
)
from mmvisionllama.inference.tiling import Tiling, predict_tiled
from mmvisionllama.inference.trained_model import TrainedModel

Format = Literal["json", "csv", "coco"]
_NAMES: dict[Format, str] = {
    "json": "predictions.json",
    "csv": "predictions.csv",
    "coco": "coco_results.json",
}


@dataclass(frozen=True)
class Written:
    """What ``write_predictions`` left behind.

    Attributes:
        file: With all numbers.
        pictures: One for each image that could be read.
        unreadable: Why the others could not.
    """

    file: Path
    pictures: list[Path] = field(default_factory=list)
    unreadable: list[InputError] = field(default_factory=list)


def write_predictions(
    model: TrainedModel,
    images: Sequence[InputImage],
    out: Path,
    *,
    batch_size: int | None = None,
    score_thr: float = 0.3,
    format: Format = "json",
    tiling: Tiling | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Written:
    """Predict images and write pictures and numbers; an image that cannot be read does not stop the others.

    Args:
        out: Files of the same names there are replaced.
        batch_size: None: that of the training's test.
        tiling: Cut large images into tiles of this kind.
        score_thr: Objects of a lower score are left out.
        format: ``json``; ``csv``; or ``coco``, a result file of COCO, for detectors alone, with the names of
            the images as ids.
        advance: Called with the number of images that were done.

    Raises: InputError: before anything is written, for options that do not suit the model.
    """
    if not 0 <= score_thr <= 1:
        raise InputError(f"score_thr: expected a score in [0, 1], got {score_thr}")
    if format == "coco" and model.task != "detection":
        raise InputError(f"coco: a result file of COCO is for detectors; {model.source} is for {model.task}")
    names = _file_names(images)
    written, found = Written(out / _NAMES[format]), []
    if tiling is None:
        outcomes = model.predict_each(images, batch_size=batch_size)
    else:
        outcomes = predict_tiled(model, images, tiling, batch_size=batch_size)
    for name, outcome in zip(names, outcomes, strict=True):
        if isinstance(outcome, InputError):
            written.unreadable.append(outcome)
        else:
            outcome = outcome.above(score_thr) if isinstance(outcome, Detection) else outcome
            written.pictures.append(outcome.save(out / f"{name}.png"))
            if isinstance(outcome, Segmentation):
                outcome.save_labels(out / f"{name}_labels.png")
            found.append(_numbers(outcome, format))
        advance(1)
    text = _as_csv(found) if format == "csv" else as_json(_flat(found) if format == "coco" else found)
    with atomic_path(written.file) as temporary:
        temporary.write_text(text)
    return written


def _file_names(images: Sequence[InputImage]) -> list[str]:
    """Give each image a name of its own, without suffix."""
    names: dict[str, None] = {}
    alike = Counter()
    for image in images:
        name = stem = Path(image.name).stem
        while name in names:
            alike[stem] += 1
            name = f"{stem}-{alike[stem] + 1}"
        names[name] = None
    return list(names)


def _numbers(prediction: Prediction, format: Format) -> Any:
    if format == "csv":
        return list(_rows(prediction))
    return prediction.to_coco() if format == "coco" else prediction.to_dict()


def _rows(prediction: Prediction) -> Iterator[dict[str, Any]]:
    facts = prediction.to_dict()
    image = facts["image"]
    match prediction:
        case Classification():
            yield {"image": image, **{key: facts[key] for key in ("label", "name", "score")}}
        case Segmentation():
            yield from ({"image": image, "name": name, "share": x} for name, x in prediction.shares.items())
        case Detection():
            for x in facts["objects"]:
                box = dict(zip(("x1", "y1", "x2", "y2"), x["box"], strict=True))
                yield {"image": image, **{key: x[key] for key in ("label", "name", "score")}, **box}
        case Reconstruction():
            yield facts


def _as_csv(rows_of_images: Sequence[Sequence[dict[str, Any]]]) -> str:
    rows = _flat(rows_of_images)
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0] if rows else ["image"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def _flat(lists: Sequence[Sequence[Any]]) -> list[Any]:
    return [x for part in lists for x in part]
