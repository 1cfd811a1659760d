"""Predictions of a test, saved with the truth as plain files: their format, and reading them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmvisionllama.arguments import Count, takes
from mmvisionllama.errors import EvaluationError
from mmvisionllama.files import read_json, why_no_file, write_json

FILE = "predictions.json"
PREDICTIONS = "predictions"  # the folder in a work directory where a report looks for them
FORMAT = "mmvisionllama-predictions-1"
ANNOTATIONS = "annotations.json"
RESULTS = {"bbox": "results.bbox.json", "segm": "results.segm.json"}
Task = Literal["classification", "segmentation", "detection", "reconstruction"]
_MAKE = "tools/test.sh CONFIG CHECKPOINT --predictions DIR makes one"
_KEYS = {
    "task": Task,
    "classes": list[str] | None,
    "config": str | None,
    "checkpoint": str | None,
    "palette": list[list[int]] | None,
    "ignored": int | None,
    "results": list[str] | None,
    "images": list[dict],
}
_OF_IMAGE: Mapping[str, Mapping[str, Any]] = {
    "classification": {
        "truth": Count,
        "truth_score": float | None,
        "labels": list[int],
        "scores": list[float | None],
    },
    "segmentation": {"truth": str, "predicted": str},
    "detection": {"id": int | str},
    "reconstruction": {"loss": float | None},
}


@dataclass(frozen=True)
class SavedPredictions:
    """What a test has saved.

    Attributes:
        folder: Where the files are that the images name.
        task: Of the model.
        classes: Names of the classes; a label is an index. None for a task without.
        images: By the task, each with ``image``, its path or None where it comes from no file of its own:
            classification, ``truth``, ``truth_score``, and ``labels`` and ``scores`` of the likeliest
            classes, the best first; segmentation, ``truth`` and ``predicted``, PNG files of labels below the
            folder; detection, ``id`` in ``annotations.json`` and ``results.*.json``, COCO's formats;
            reconstruction, ``loss``. A number that was not finite is None.
        facts: All that ``predictions.json`` says beside the images, ``config`` and ``checkpoint`` among it.
    """

    folder: Path
    task: str
    classes: Sequence[str] | None
    images: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any]

    def name_of(self, index: int) -> str:
        """Return what to call an image: the name of its file, or its number from 0."""
        image = self.images[index]["image"]
        return f"image {index}" if image is None else Path(image).name


def write_predictions_file(
    folder: Path, task: str, classes: Sequence[str] | None, images: Sequence[Mapping[str, Any]], **facts: Any
) -> Path:
    """Write ``predictions.json``, the last of the files; see ``SavedPredictions``."""
    about = {"format": FORMAT, "task": task, "classes": None if classes is None else list(map(str, classes))}
    write_json(folder / FILE, {**about, **facts, "images": list(images)})
    return folder / FILE


def has_predictions(folder: Path) -> bool:
    """Whether a folder has a file that ``read_predictions`` may read."""
    return (folder / FILE).is_file()


def read_predictions(path: Path) -> SavedPredictions:
    """Read what a test has saved; neither a model nor a GPU is needed.

    Args:
        path: The folder, or ``predictions.json`` in it.
    Raises: EvaluationError: for anything else, a file that is cut off or changed; one line names it.
    """
    path = Path(path).expanduser()
    file = path / FILE if path.is_dir() else path
    if problem := why_no_file(file):
        raise EvaluationError(f"{file} is {problem}; {_MAKE}")
    try:
        content = read_json(file)
    except ValueError as error:
        raise EvaluationError(f"{file} is no whole JSON file: {error}. {_MAKE}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EvaluationError(f"{file} is {_foreign(content)}; {_MAKE}")
    for key, kind in _KEYS.items():
        if not takes(kind, content.get(key)):
            raise _changed(file, f"{key} is {content.get(key)!r:.40}")
    task, images = content["task"], content["images"]
    if not images:
        raise EvaluationError(f"{file} has no images; {_MAKE}")
    classes = content["classes"]
    if classes is None and task != "reconstruction":
        raise _changed(file, f"it has no classes, which a {task} needs")
    for number, image in enumerate(images):
        _check_image(file, number, image, task, len(classes or ()))
    facts = {key: value for key, value in content.items() if key not in ("format", "images")}
    return SavedPredictions(file.parent, task, classes, images, facts)


def _check_image(file: Path, number: int, image: Mapping[str, Any], task: str, classes: int) -> None:
    kinds = {"image": str | None, **_OF_IMAGE[task]}
    for key, kind in kinds.items():
        if key not in image or not takes(kind, image[key]):
            raise _changed(file, f"{key} of image {number} is {image.get(key)!r:.40}")
    if task == "classification":
        labels, scores = image["labels"], image["scores"]
        if not labels or len(labels) != len(scores):
            raise _changed(
                file, f"image {number} has {len(labels)} labels and {len(scores)} scores, not one each"
            )
        if not all(0 <= x < classes for x in (*labels, image["truth"])):
            raise _changed(file, f"image {number} has a class beyond the {classes} classes")
    for key in ("truth", "predicted") if task == "segmentation" else ():
        if Path(image[key]).is_absolute() or ".." in Path(image[key]).parts:
            raise _changed(file, f"{key} of image {number} is outside of the folder: {image[key]!r:.40}")


def _changed(file: Path, why: str) -> EvaluationError:
    return EvaluationError(f"{file} is no prediction file as it was saved: {why}. {_MAKE}")


def _foreign(content: Any) -> str:
    """Say what a JSON file is that is none of ours."""
    if isinstance(content, dict) and str(content.get("format")).startswith(FORMAT[:-1]):
        return f"a prediction file of another version, {content['format']!r:.60}"
    first = content[0] if isinstance(content, list) and content else content
    if isinstance(first, dict) and {"image_id", "category_id", "score"} <= first.keys():
        return "a result file of COCO, which has no truth to compare with"
    if isinstance(content, list) and isinstance(first, dict) and "image" in first:
        return "a file of predict, which has no truth to compare with"
    return "no prediction file of a test"
