"""Classes are compared as ordered lists: between data sets, files, folders, and a checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.checks.generated import (
    CATEGORIES,
    annotation,
    classification,
    coco,
    detection,
    folders,
    pairs,
    said,
    segmentation,
)

BACKWARDS = CATEGORIES[::-1]
HALVES = np.repeat(np.uint8([[0, 1]]), 8, axis=1).repeat(12, axis=0)
FILES = {"ant": ["0.jpg"], "bee": ["0.jpg"], "cat": ["0.jpg"]}


def test_gaps_in_the_ids_and_categories_that_are_not_taken_are_sound(tmp_path: Path) -> None:
    sound = coco(tmp_path, categories=[dict(id=3, name="cow"), *CATEGORIES])
    assert said(detection(train=sound)) == ("", "")


@pytest.mark.parametrize(
    ("train", "val"), [(CATEGORIES, BACKWARDS), (BACKWARDS, CATEGORIES), (BACKWARDS, BACKWARDS)]
)
def test_categories_of_a_file_in_another_order_than_the_classes(tmp_path: Path, train: Any, val: Any) -> None:
    parts = {x: coco(tmp_path, x, categories=y) for x, y in (("train", train), ("val", val))}
    errors, _ = said(detection(**parts))
    assert errors.count("another order than the categories of") == (train, val).count(BACKWARDS)
    assert "The data set has cat, dog; the file has dog, cat" in errors


def test_classes_of_the_config_in_another_order_than_the_file(tmp_path: Path) -> None:
    errors, _ = said(detection(train=coco(tmp_path, classes=("dog", "cat"))))
    assert "The data set has dog, cat; the file has cat, dog" in errors


@pytest.mark.parametrize("ids", [(1, 2), (7, 1)])
def test_a_category_twice_under_two_ids(tmp_path: Path, ids: tuple[int, int]) -> None:
    twice = [dict(id=ids[0], name="cat"), dict(id=ids[1], name="cat"), dict(id=9, name="dog")]
    errors, _ = said(
        detection(train=coco(tmp_path, categories=twice, annotations=[annotation(1, category_id=ids[0])]))
    )
    assert f"lists categories twice under one name: 'cat' (ids {ids[0]}, {ids[1]})" in errors


def test_data_sets_that_are_joined_with_classes_in_other_orders(tmp_path: Path) -> None:
    one = coco(tmp_path)
    other = coco(tmp_path, "more", categories=BACKWARDS, classes=("dog", "cat"))
    errors, _ = said(detection(train=dict(type="ConcatDataset", datasets=[one, other])))
    assert (
        "CocoDataset (training, 2 of 2): its classes are not those of CocoDataset (training, 1 of 2)"
        in errors
    )
    assert "the same names in another order, dog, cat for cat, dog" in errors


def test_a_test_of_other_classes_than_the_validation(tmp_path: Path) -> None:
    parts = {x: coco(tmp_path, x) for x in ("train", "val")}
    other = coco(tmp_path, "test", categories=BACKWARDS, classes=("dog", "cat"))
    assert "the same names in another order" in said(detection(**parts, test=other))[0]


def test_names_of_class_folders_in_another_order_than_the_alphabet(tmp_path: Path) -> None:
    named = folders(tmp_path, "train", FILES, metainfo=dict(classes=("ant", "cat", "bee")))
    errors, _ = said(classification(train=named))
    assert "in another order than that of the alphabet" in errors and "Write ant, bee, cat" in errors
    pretty = folders(tmp_path, "train", FILES, metainfo=dict(classes=("Ant", "Honey bee", "Cat")))
    assert said(classification(train=pretty)) == ("", "")


def test_segmentors_whose_validation_names_classes_in_another_order(tmp_path: Path) -> None:
    parts = {x: pairs(tmp_path, x, [HALVES]) for x in ("train", "val")}
    parts["val"]["metainfo"] = dict(classes=("square", "ground"))
    assert (
        "the same names in another order, square, ground for ground, square" in said(segmentation(**parts))[0]
    )


def test_one_class_that_is_written_as_a_text(tmp_path: Path) -> None:
    errors, _ = said(detection(train=coco(tmp_path, classes="cat")))
    assert "metainfo.classes is the text 'cat', so each letter would be a class; write ('cat',)" in errors


@pytest.mark.parametrize(
    ("trained", "error", "note"),
    [
        (("cat", "dog"), "", ""),
        (("dog", "cat"), "in another order than those of the checkpoint x.pth", ""),
        (("dog", "cow"), "in another order than those of the checkpoint x.pth", ""),
        (("Katze", "Hund"), "", "have other names than in the checkpoint x.pth"),
    ],
)
def test_a_checkpoint_of_classes_in_another_order(
    tmp_path: Path, trained: tuple[str, str], error: str, note: str
) -> None:
    cfg = detection(test=coco(tmp_path, "test"))
    errors, notes = said(cfg, trained=("the checkpoint x.pth", trained))
    assert (error in errors, note in notes) == (True, True)
    assert (bool(errors), bool(notes)) == (bool(error), bool(note))
