"""Boxes, masks and sizes of detection data that are not what COCO's format means."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.checks.generated import LOADER, SQUARE, annotation, coco, detection, image, said

PIPELINE = (
    LOADER,
    dict(type="mmvisionllama.MarkMissingMasks"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(4, 4)),
    dict(type="PackDetInputs", meta_keys=()),
)
BOXES_ALONE = (LOADER, dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs", meta_keys=()))
RLE = dict(size=[12, 16], counts=[0, 192])


def errors_of(root: Path, *changes: dict[str, Any], **options: Any) -> str:
    """Return the errors about three sound objects and others."""
    objects = [annotation(1), annotation(2, 2), annotation(3, 3)]
    others = [annotation(9 + number, **x) for number, x in enumerate(changes)]
    return said(detection(train=coco(root, annotations=[*objects, *others], pipeline=PIPELINE, **options)))[0]


def test_sound_objects_are_loaded_as_a_run_does(tmp_path: Path) -> None:
    assert said(detection(train=coco(tmp_path, pipeline=PIPELINE))) == ("", "")
    assert errors_of(tmp_path, dict(segmentation=RLE, bbox=[0, 0, 16, 12])) == ""


MALFORMED = {
    "box of five numbers": (dict(bbox=[2, 2, 8, 8, 0]), "id 9 has bbox=[2, 2, 8, 8, 0], not 4 numbers"),
    "box null": (dict(bbox=None), "id 9 has bbox=None, not 4 numbers"),
    "box with null": (dict(bbox=[2, None, 8, 8]), "id 9 has bbox=[2, None, 8, 8], not 4 numbers"),
    "box of texts": (dict(bbox=["2", "2", "8", "8"]), "id 9 has bbox="),
    "box NaN": (dict(bbox=[2, 2, float("nan"), 8]), "id 9 has bbox=[2, 2, nan, 8], not 4 numbers"),
    "area null": (dict(area=None), "id 9 has area=None, not a number"),
    "area NaN": (dict(area=float("nan")), "id 9 has area=nan, not a number"),
    "crowd null": (dict(iscrowd=None), "annotation 9 has iscrowd=None, neither 0 nor 1"),
    "crowd text": (dict(iscrowd="0"), "annotation 9 has iscrowd='0', neither 0 nor 1"),
    "polygon not nested": (dict(segmentation=[2, 2, 10, 2, 10, 10]), "annotation 9 has segmentation="),
    "polygon NaN": (dict(segmentation=[[2, 2, 10, float("nan"), 10, 10]]), "annotation 9 has segmentation="),
    "RLE without size": (dict(segmentation=dict(counts=[192])), "annotation 9 has segmentation="),
    "RLE size of texts": (
        dict(segmentation=dict(size=["12", "16"], counts=[192])),
        "annotation 9 has segmentation=",
    ),
    "category text": (dict(category_id="1"), "id 9 has category_id='1', not a whole number"),
    "category float": (dict(category_id=1.0), "id 9 has category_id=1.0, not a whole number"),
    "image text": (dict(image_id="1"), "id 9 has image_id='1', not a whole number"),
    "RLE transposed": (
        dict(segmentation=dict(size=[16, 12], counts=[192])),
        "a mask of another size than their image: ids 9",
    ),
    "RLE too short": (
        dict(segmentation=dict(size=[12, 16], counts=[0, 100])),
        "a mask of another size than their image: ids 9",
    ),
    "RLE text too short": (
        dict(segmentation=dict(size=[12, 16], counts="04")),
        "a mask of another size than their image: ids 9",
    ),
    "RLE damaged": (
        dict(segmentation=dict(size=[12, 16], counts="0~")),
        "run lengths that cannot be decoded: ids 9",
    ),
    "RLE cut off": (
        dict(segmentation=dict(size=[12, 16], counts="0P")),
        "run lengths that cannot be decoded: ids 9",
    ),
    "RLE negative": (
        dict(segmentation=dict(size=[12, 16], counts=[-8, 200])),
        "run lengths that cannot be decoded: ids 9",
    ),
}


@pytest.mark.parametrize(("changes", "error"), MALFORMED.values(), ids=MALFORMED)
def test_a_field_that_means_nothing_names_its_annotation(tmp_path: Path, changes: dict, error: str) -> None:
    assert error in errors_of(tmp_path, changes)


SUSPECT = {
    "flat polygon": (
        dict(segmentation=[[2, 2, 10, 2, 6, 2]]),
        "polygons without area and are left out: ids 9",
    ),
    "area 0": (dict(area=0), "an area of 0 or less and are left out: ids 9"),
    "box without area": (dict(bbox=[2, 2, 8, 0]), "a box without area and are left out: ids 9"),
    "box outside": (dict(bbox=[-20, 2, 8, 8]), "a box outside of their image and are left out: ids 9"),
    "box beyond": (dict(bbox=[2, 2, 30, 8]), "a box that reaches beyond their image: ids 9"),
    "box elsewhere": (dict(bbox=[11, 2, 3, 3]), "a box that is not around their mask: ids 9"),
    "null mask": (dict(segmentation=None), "no mask and are left out: ids 9"),
}


@pytest.mark.parametrize(("changes", "note"), SUSPECT.values(), ids=SUSPECT)
def test_an_object_that_is_left_out_or_suspect_is_named(tmp_path: Path, changes: dict, note: str) -> None:
    objects = [
        *(annotation(i, i) for i in (1, 2, 3)),
        *(annotation(i, 1) for i in (4, 5, 6)),
        annotation(9, **changes),
    ]
    errors, notes = said(detection(train=coco(tmp_path, annotations=objects, pipeline=PIPELINE)))
    assert errors == "" and note in notes


def test_a_category_id_of_text_in_the_list_of_categories(tmp_path: Path) -> None:
    for wrong in ("1", 1.0, None):
        errors, _ = said(detection(train=coco(tmp_path, categories=[dict(id=wrong, name="cat")])))
        assert f"categories has id={wrong!r}, not a whole number" in errors


@pytest.mark.parametrize("masks", [True, False])
def test_boxes_as_shares_of_the_image(tmp_path: Path, masks: bool) -> None:
    shape = {} if masks else dict(segmentation=[])
    objects = [annotation(i, i, bbox=[0.1, 0.2, 0.5, 0.6], area=0.3, **shape) for i in (1, 2, 3)]
    pipeline = PIPELINE if masks else BOXES_ALONE
    errors, _ = said(detection(train=coco(tmp_path, annotations=objects, pipeline=pipeline)))
    assert "3 of 3 boxes lie in 0 to 1, so they are shares of the image; COCO's are in pixels" in errors


@pytest.mark.parametrize("masks", [True, False])
def test_boxes_as_corners(tmp_path: Path, masks: bool) -> None:
    shape = {} if masks else dict(segmentation=[])
    objects = [annotation(i, i, bbox=[2, 2, 10, 10], **shape) for i in (1, 2)]
    objects.append(
        annotation(3, 3, bbox=[5, 4, 15, 11], segmentation=[[5, 4, 15, 4, 15, 11]] if masks else [])
    )
    pipeline = PIPELINE if masks else BOXES_ALONE
    errors, _ = said(detection(train=coco(tmp_path, annotations=objects, pipeline=pipeline)))
    assert "boxes are corners (left, top, right, bottom)" in errors and "left, top, width, height" in errors


def test_sizes_that_are_not_those_of_the_files(tmp_path: Path) -> None:
    listed = [
        dict(id=i, file_name=f"{i}.jpg", width=12 if i == 2 else 16, height=16 if i == 2 else 12)
        for i in (1, 2, 3)
    ]
    errors, _ = said(detection(train=coco(tmp_path, images=listed)))
    assert "1 of 3 images have another width and height" in errors
    assert "2.jpg 12x16, the file 16x12" in errors and "EXIF" not in errors


@pytest.mark.parametrize("orientation", [6, 8, 3])
def test_sizes_that_are_those_before_the_exif_orientation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image(tmp_path / "2.jpg", exif=exif)
    errors, _ = said(detection(train=coco(tmp_path)))
    assert ("2.jpg 16x12, the file 12x16" in errors and "exif_transpose" in errors) == (orientation > 4)
    stored = (LOADER | dict(color_type="color_ignore_orientation"),)
    assert said(detection(train=coco(tmp_path, pipeline=stored)))[0] == ""


NOTHING = {
    "crowds": (dict(iscrowd=1), "3 are crowds (iscrowd=1)"),
    "no objects": (None, "the file has no annotations"),
    "other classes": (dict(category_id=8), "3 are of other classes"),
    "no masks": (dict(segmentation=[]), "3 have no mask"),
    "boxes without area": (dict(bbox=[2, 2, 0, 0]), "3 have a box without area"),
    "ignored": (dict(ignore=1), "3 are to be ignored"),
}


@pytest.mark.parametrize(("changes", "told"), NOTHING.values(), ids=NOTHING)
def test_a_training_without_an_object_has_nothing_to_learn_from(
    tmp_path: Path, changes: dict | None, told: str
) -> None:
    objects = [] if changes is None else [annotation(i, i, **changes) for i in (1, 2, 3)]
    categories = [dict(id=1, name="cat"), dict(id=7, name="dog"), dict(id=8, name="cow")]
    found = coco(tmp_path, annotations=objects, categories=categories, pipeline=PIPELINE)
    errors, _ = said(detection(train=found))
    assert "there is nothing to learn from: " in errors and told in errors
    evaluated = coco(tmp_path, "val", annotations=objects, categories=categories, pipeline=PIPELINE)
    errors, notes = said(detection(val=evaluated))
    assert errors == "" and "there are no objects to find" in notes and told in notes


def test_objects_that_are_all_smaller_than_the_filter_of_the_pipeline(tmp_path: Path) -> None:
    small = [annotation(i, i, bbox=[2, 2, 3, 3], segmentation=[[2, 2, 5, 2, 5, 5]]) for i in (1, 2, 3)]
    errors, _ = said(detection(train=coco(tmp_path, annotations=small, pipeline=PIPELINE)))
    assert "its pipeline drops all of the 3 images tried (FilterAnnotations(min_gt_bbox_wh=(4, 4)" in errors


@pytest.mark.parametrize("scale", [1 / 16, 20])
def test_masks_in_other_units_than_their_boxes(tmp_path: Path, scale: float) -> None:
    scaled = [[x * scale for x in SQUARE[0]]]
    objects = [annotation(i, i, segmentation=scaled) for i in (1, 2, 3)]
    errors, _ = said(detection(train=coco(tmp_path, annotations=objects, pipeline=PIPELINE)))
    assert "boxes and masks do not belong together: of 3 boxes 3 are not around their mask" in errors


def test_a_class_without_an_object_to_learn_from_is_said(tmp_path: Path) -> None:
    cats = [annotation(1), annotation(3, 3)]
    errors, notes = said(detection(train=coco(tmp_path, annotations=cats)))
    assert errors == "" and "1 of 2 classes have no object to learn from: dog" in notes
    assert said(detection(val=coco(tmp_path, "val", annotations=cats))) == ("", "")


def test_images_that_are_all_smaller_than_the_filter_of_the_data_set(tmp_path: Path) -> None:
    small = coco(tmp_path) | dict(filter_cfg=dict(min_size=32))
    assert "or filter_cfg={'min_size': 32} leaves everything out" in said(detection(train=small))[0]


def test_boxes_without_masks_suit_a_detector_of_boxes(tmp_path: Path) -> None:
    objects = [annotation(i, i, segmentation=[]) for i in (1, 2, 3)]
    assert said(detection(train=coco(tmp_path, annotations=objects, pipeline=BOXES_ALONE))) == ("", "")


def test_a_pipeline_that_fails_on_the_data_is_named_with_the_file(tmp_path: Path) -> None:
    wrong = (LOADER, dict(type="Mosaic"))  # without the wrapper that gives it other images
    errors, _ = said(detection(train=coco(tmp_path, pipeline=wrong)))
    assert f"its pipeline fails on {tmp_path}/1.jpg: AssertionError" in errors


def test_a_pipeline_that_would_end_at_an_object_without_a_mask(tmp_path: Path) -> None:
    unmarked = [x for x in PIPELINE if x["type"] != "mmvisionllama.MarkMissingMasks"]
    for mask, told in (
        ([], "have no mask, on which LoadAnnotations ends"),
        ([[2, 2, 9, 2, 6, 2]], "empty masks"),
    ):
        objects = [annotation(i, i, **({} if i < 3 else dict(segmentation=mask))) for i in (1, 2, 3)]
        found = said(detection(train=coco(tmp_path, annotations=objects, pipeline=unmarked)))
        assert told in found[0] + found[1] and "MarkMissingMasks" in found[0] + found[1]


def test_masks_that_an_evaluation_scores_must_be_there(tmp_path: Path) -> None:
    objects = [annotation(i, i, **({} if i < 3 else dict(segmentation=[]))) for i in (1, 2, 3)]
    cfg = detection(val=coco(tmp_path, "val", annotations=objects))
    cfg.val_evaluator = dict(type="CocoMetric", ann_file=str(tmp_path / "val.json"), metric=["bbox", "segm"])
    assert "no mask, which the evaluation needs: ids 3" in said(cfg)[0]
    cfg.val_evaluator.metric = "bbox"
    assert said(cfg) == ("", "")


def test_run_lengths_are_decoded_as_pycocotools_does() -> None:
    from pycocotools import mask as reference

    from mmvisionllama.datasets.coco_masks import box_around

    random = np.random.default_rng(0)
    for height, width in random.integers(3, 40, (40, 2)):
        pixels = np.asfortranarray(random.random((height, width)) > random.random(), dtype=np.uint8)
        coded = reference.encode(pixels)
        left, top, *sides = reference.toBbox(coded)
        found = box_around(dict(size=[int(height), int(width)], counts=coded["counts"].decode()))
        assert found == ((left, top, left + sides[0], top + sides[1]) if pixels.any() else None)
