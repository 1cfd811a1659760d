"""Check the objects of a detector's annotations: boxes, masks, and whether any can be learned."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmvisionllama.checks.data_problems import DataProblem, Role
from mmvisionllama.checks.image_data import spaced
from mmvisionllama.datasets.coco_masks import Box, MaskError, MaskSizeError, box_around
from mmvisionllama.suggestions import shortened

_Annotation = dict[str, Any]

_MARKER = "dict(type='mmvisionllama.MarkMissingMasks')"
_UNMARKED = f"have no mask, on which LoadAnnotations ends; put {_MARKER} before it"
_FLAT = f"have polygons without area, which are learned as empty masks; put {_MARKER} before LoadAnnotations"
# Problem of an annotation -> whether it is fatal.
_OTHER_SIZE = "have a mask of another size than their image"
_FATAL = {
    "belong to no image of the file": True,
    "have a category that the file does not list": True,
    _OTHER_SIZE: True,
    "have run lengths that cannot be decoded": True,
    "have no mask, which the evaluation needs": True,
    _UNMARKED: True,
    _FLAT: False,
    "have a box without area": False,
    "have an area of 0 or less": False,
    "have a box outside of their image": False,
    "have no mask": False,
    "have no polygon of three points or more": False,
    "have polygons without area": False,
    "have a box that reaches beyond their image": False,
    "have a box that is not around their mask": False,
}
# What a training does not leave out, though something is wrong with it.
_KEPT = {"have a box that reaches beyond their image", "have a box that is not around their mask", _FLAT}
_SAMPLE = 10_000  # annotations that show a mistake in all
_SLACK = 2.0  # px that box, mask and image may differ by
_LEAST_OVERLAP = 0.5  # of a box with that around its mask
_FEW, _MANY = 0.2, 0.5  # shares of the annotations that show a mistake in all of them


@dataclass(frozen=True)
class _Shape:
    """The box around a mask, and what is wrong with the mask."""

    around: Box | None = None
    problem: str | None = None


def check_objects(
    role: Role, content: dict[str, Any], classes: tuple[str, ...]
) -> Iterator[DataProblem | str]:
    """Yield what is wrong with the annotations of a file in COCO's format, whose fields are sound.

    Args:
        classes: What the data set takes of the file's categories.
    """
    images = {x["id"]: x for x in content["images"]}
    categories = {x["id"]: x["name"] for x in content["categories"]}
    annotations = content["annotations"]
    found: dict[str, list[str]] = defaultdict(list)
    learned, unused = Counter(), Counter()
    pairs: list[tuple[_Annotation, dict, _Shape]] = []
    for annotation in annotations:
        image, shape = images.get(annotation["image_id"]), _shape(annotation)
        problems = list(_wrong_with(annotation, image, categories, shape, role))
        for what in problems:
            found[what].append(str(annotation["id"]))
        why = _why_unused(annotation, categories, set(classes), problems)
        if why is None:
            learned[categories[annotation["category_id"]]] += 1
        unused[why] += 1
        if image is not None and not annotation.get("iscrowd"):
            pairs.append((annotation, image, shape))
    total = len(annotations)
    if (mistake := _mistake_in_all(role, pairs)) is not None:
        found = {what: ids for what, ids in found.items() if _FATAL[what]}
        yield DataProblem(role.name, mistake)
    for what, ids in found.items():
        left_out = "" if _FATAL[what] or what in _KEPT else " and are left out"
        text = f"{len(ids):,} of {total:,} annotations {what}{left_out}: ids {shortened(ids)}"
        yield DataProblem(role.name, text, _FATAL[what])
    if not learned and mistake is None:
        yield _nothing(role, total, {why: n for why, n in unused.items() if why is not None})
    elif not role.evaluated and (
        empty := [x for x in classes if x in categories.values() and not learned[x]]
    ):
        text = f"{len(empty)} of {len(classes)} classes have no object to learn from: {shortened(empty)}"
        yield DataProblem(role.name, text, fatal=False)
    yield f"{role.name}: looked at {total:,} annotations of {len(images):,} images"


def _nothing(role: Role, total: int, reasons: dict[str, int]) -> DataProblem:
    listed = "; ".join(f"{number:,} {why}" for why, number in reasons.items())
    told = f"of {total:,} annotations, {listed}" if total else "the file has no annotations"
    if role.evaluated:
        text = f"there are no objects to find, so every precision is that of nothing ({told})"
        return DataProblem(role.name, text, fatal=False)
    return DataProblem(role.name, f"there is nothing to learn from: {told}")


def _why_unused(
    annotation: _Annotation, categories: dict[int, str], classes: set[str], problems: list[str]
) -> str | None:
    if annotation.get("iscrowd"):
        return "are crowds (iscrowd=1)"
    if annotation.get("ignore"):
        return "are to be ignored (ignore=1)"
    name = categories.get(annotation["category_id"])
    if name is not None and name not in classes:
        return "are of other classes"
    return next((what for what in problems if what not in _KEPT), None)


def _wrong_with(
    annotation: _Annotation, image: dict | None, categories: dict[int, str], shape: _Shape, role: Role
) -> Iterator[str]:
    if image is None:
        yield "belong to no image of the file"
        return
    if annotation["category_id"] not in categories:
        yield "have a category that the file does not list"
    x, y, width, height = annotation["bbox"]
    mask = annotation.get("segmentation")
    if width < 1 or height < 1:
        yield "have a box without area"
    elif annotation["area"] <= 0:
        yield "have an area of 0 or less"
    elif x >= image["width"] or y >= image["height"] or x + width <= 0 or y + height <= 0:
        yield "have a box outside of their image"
    elif x + width > image["width"] + _SLACK or y + height > image["height"] + _SLACK or min(x, y) < -_SLACK:
        yield "have a box that reaches beyond their image"
    elif role.with_masks and shape.around and _overlap(_corners(annotation), shape.around) < _LEAST_OVERLAP:
        yield "have a box that is not around their mask"
    if not role.with_masks:
        return
    if not mask:
        unmarked = "have no mask" if role.marks_missing_masks else _UNMARKED
        yield "have no mask, which the evaluation needs" if role.scores("segm") else unmarked
    elif isinstance(mask, dict) and list(mask["size"]) != [image["height"], image["width"]]:
        yield _OTHER_SIZE
    elif shape.problem == "have polygons without area" and not role.marks_missing_masks:
        yield _FLAT
    elif shape.problem is not None:
        yield shape.problem


def _shape(annotation: _Annotation) -> _Shape:
    mask = annotation.get("segmentation")
    if not mask:
        return _Shape()
    try:
        return _Shape(box_around(mask))
    except MaskSizeError:
        return _Shape(problem=_OTHER_SIZE)
    except MaskError as error:
        return _Shape(problem=f"have {error}")


def _mistake_in_all(role: Role, pairs: list[tuple[_Annotation, dict, _Shape]]) -> str | None:
    """Return how boxes are meant otherwise than COCO's, if that shows in many of an evenly spaced sample."""
    pairs = [pairs[index] for index in spaced(len(pairs), _SAMPLE)]
    normalised = [
        str(x["id"])
        for x, image, _ in pairs
        if max(x["bbox"]) <= 1 and min(x["bbox"][2:]) > 0 and min(image["width"], image["height"]) > 1
    ]
    if normalised and len(normalised) >= _MANY * len(pairs):
        return (
            f"{len(normalised):,} of {len(pairs):,} boxes lie in 0 to 1, so they are shares of the image; "
            "COCO's are in pixels: multiply them by width and height of their images, their areas too: ids "
            + shortened(normalised)
        )
    shaped = [(x, shape.around) for x, _, shape in pairs if shape.around and min(x["bbox"][2:]) >= 1]
    votes = [_is_of_corners(*pair) for pair in pairs]
    for_corners = [str(x["id"]) for (x, _, _), vote in zip(pairs, votes, strict=True) if vote]
    if len(for_corners) > max(_FEW * len(pairs), 4 * votes.count(False), 0):
        return (
            f"boxes are corners (left, top, right, bottom), as {len(for_corners):,} of {len(pairs):,} show; "
            "COCO's are left, top, width, height: subtract left from right and top from bottom: ids "
            + shortened(for_corners)
        )
    apart = [str(x["id"]) for x, around in shaped if _overlap(_corners(x), around) < _LEAST_OVERLAP]
    if role.with_masks and apart and len(apart) >= _MANY * len(shaped):
        return (
            f"boxes and masks do not belong together: of {len(shaped):,} boxes {len(apart):,} are not around "
            "their mask, so one of the two is in other units or another order: ids " + shortened(apart)
        )
    return None


def _is_of_corners(annotation: _Annotation, image: dict, shape: _Shape) -> bool | None:
    """Whether a box was given by its corners, by its mask, its area or its image; None: it may be either."""
    box, corners = _corners(annotation), tuple(annotation["bbox"])
    if shape.around is not None:
        alike = [_overlap(x, shape.around) > 1 - _FEW for x in (corners, box)]
        return alike[0] if alike[0] != alike[1] else None
    left, top, right, bottom = corners
    if right <= left or bottom <= top or right > image["width"] + _SLACK or bottom > image["height"] + _SLACK:
        return False
    beyond = box[2] > image["width"] + _SLACK or box[3] > image["height"] + _SLACK
    return True if beyond else None


def _corners(annotation: _Annotation) -> Box:
    x, y, width, height = annotation["bbox"]
    return x, y, x + width, y + height


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 1.0


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)
