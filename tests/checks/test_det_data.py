"""What is said about detection data in COCO's format before a run starts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from PIL import Image

from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.errors import ConfigError

SQUARE = [[2.0, 2.0, 10.0, 2.0, 10.0, 10.0, 2.0, 10.0]]


def annotation(number: int, image: int = 1, **changes: Any) -> dict[str, Any]:
    base = dict(
        id=number, image_id=image, category_id=7 if number == 2 else 1, bbox=[2, 2, 8, 8], area=64, iscrowd=0
    )
    return base | dict(segmentation=SQUARE) | changes


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., list[str]]:
    """Write three images of 16 x 12 px with annotations, and check them as a training or an evaluation."""
    init_default_scope("mmdet")
    for number in (1, 2, 3):
        Image.fromarray(np.full((12, 16, 3), 40 * number, np.uint8)).save(tmp_path / f"{number}.jpg")

    def write_and_check(
        annotations: list[dict] | None = None,
        content: Any = None,
        split: str = "train",
        num_classes: int = 2,
        classes: tuple[str, ...] = ("cat", "dog"),
        **dataset: Any,
    ) -> list[str]:
        default = dict(
            images=[dict(id=i, file_name=f"{i}.jpg", width=16, height=12) for i in (1, 2, 3)],
            annotations=[annotation(1), annotation(2, 2), annotation(3, 3)]
            if annotations is None
            else annotations,
            categories=[dict(id=1, name="cat"), dict(id=7, name="dog")],
        )
        text = content if isinstance(content, str) else json.dumps(default | (content or {}))
        (tmp_path / "instances.json").write_text(text)
        cfg = dict(
            type="CocoDataset",
            data_root=str(tmp_path),
            ann_file="instances.json",
            data_prefix=dict(img=""),
            metainfo=dict(classes=classes),
            filter_cfg=dict(filter_empty_gt=True),
            test_mode=split != "train",
            pipeline=[],
        )
        model = dict(roi_head=dict(bbox_head=dict(num_classes=num_classes)))
        whole = ConfigDict(default_scope="mmdet", model=model)
        whole[f"{split}_dataloader"] = dict(dataset=cfg | dataset)
        return require_sound_data(whole, f"{split}_dataloader")

    return write_and_check


def test_sound_data_pass_with_what_was_looked_at(check: Callable) -> None:
    (line,) = check()
    assert line.endswith("looked at 3 annotations of 3 images")


def test_gaps_in_the_ids_of_categories_are_allowed(check: Callable) -> None:
    assert len(check([annotation(1, category_id=7)])) == 3  # and images and a class without objects


def test_images_without_objects_are_counted_and_left_out_of_a_training(check: Callable) -> None:
    notes = check([annotation(1)])
    assert any("2 of 3 images are left out: without objects, or too small" in note for note in notes)
    assert not any("left out" in note for note in check([annotation(1)], split="val"))


def test_when_no_class_name_matches_both_lists_are_shown(check: Callable) -> None:
    with pytest.raises(ConfigError) as error:
        check(classes=("Cat", "Dog"))
    text = str(error.value)
    assert "none of the 2 classes of the data set are categories of" in text
    assert "The data set has Cat, Dog; the file has cat, dog. Set dataset.metainfo=dict(classes=...)" in text


def test_a_class_that_the_file_lacks_is_an_error(check: Callable) -> None:
    with pytest.raises(ConfigError, match="only 1 of the 2 classes of the data set are categories"):
        check(classes=("cat", "cow"))


def test_a_head_of_another_number_of_classes_is_an_error(check: Callable) -> None:
    with pytest.raises(ConfigError, match="the data set has 2 classes, the model's heads predict 80"):
        check(num_classes=80)


LEFT_OUT = {
    "a box without area": (
        dict(bbox=[2, 2, 0, 8]),
        "1 of 4 annotations have a box without area and are left out: ids 9",
    ),
    "a box outside": (
        dict(bbox=[20, 2, 8, 8]),
        "1 of 4 annotations have a box outside of their image and are left out: ids 9",
    ),
    "no mask": (dict(segmentation=[]), "1 of 4 annotations have no mask and are left out: ids 9"),
    "two points": (
        dict(segmentation=[[1, 1, 5, 5]]),
        "1 of 4 annotations have no polygon of three points or more and are left out: ids 9",
    ),
}


@pytest.mark.parametrize(("changes", "note"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_objects_that_cannot_be_learned_are_counted(check: Callable, changes: dict, note: str) -> None:
    sound = [annotation(1), annotation(2, 2), annotation(3, 3)]
    assert any(note in line for line in check([*sound, annotation(9, **changes)]))


FATAL = {
    "an image that is not listed": (dict(image_id=99), "belong to no image of the file: ids 9"),
    "a category that is not listed": (
        dict(category_id=3),
        "have a category that the file does not list: ids 9",
    ),
    "a mask of another size": (
        dict(segmentation=dict(size=[16, 12], counts="abc")),
        "have a mask of another size than their image: ids 9",
    ),
}


@pytest.mark.parametrize(("changes", "message"), FATAL.values(), ids=FATAL)
def test_objects_that_contradict_the_file_are_an_error(check: Callable, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check([annotation(1), annotation(9, **changes)])


def test_missing_images_are_an_error_that_names_them(check: Callable, tmp_path: Path) -> None:
    (tmp_path / "2.jpg").unlink()
    with pytest.raises(ConfigError, match=r"1 of 3 images are not in .*: 2\.jpg"):
        check()


WRONG_KIND = {
    "no JSON": ("<html>", "is no JSON"),
    "a list": ("[1]", "it is a list, not an object with images, annotations, categories"),
    "captions": (
        json.dumps(dict(images=[], annotations=[dict(id=1, image_id=1, caption="a cat")], categories=[])),
        "an entry of annotations has no category_id, bbox, area, but caption, id, image_id",
    ),
    "no categories": (json.dumps(dict(images=[], annotations=[])), "it has no list of categories, but"),
    "ids twice": (
        json.dumps(
            dict(images=[dict(id=1, file_name="1.jpg", width=1, height=1)] * 2, annotations=[], categories=[])
        ),
        "ids of images occur twice: 1",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG_KIND.values(), ids=WRONG_KIND)
def test_a_file_of_another_kind_is_an_error(check: Callable, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(content=content)


def test_a_missing_annotation_file_is_an_error(check: Callable) -> None:
    with pytest.raises(ConfigError, match=r"the annotation file .*none\.json does not exist"):
        check(ann_file="none.json")
