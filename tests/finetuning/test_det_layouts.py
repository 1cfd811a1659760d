"""Annotations of objects in four formats, and the COCO files that are written of them."""

import json
from pathlib import Path

import pytest

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.annotation_files import Annotations, write_annotations
from mmvisionllama.finetuning.found_data import FoundData
from mmvisionllama.finetuning.layouts import find_data
from tests.finetuning.trees import coco, image, images, labelme, text, voc


def boxes(found: FoundData, part: str = "train") -> dict[str, list[tuple]]:
    """Return name and box of the objects of every image."""
    return {x.image.name: [(o.name, *o.box) for o in x.label.objects] for x in found.parts[part]}


def written(root: Path, out: Path) -> tuple[Annotations, dict]:
    found = find_data(root, "det")
    data = write_annotations("det", found, out, out)
    return data, json.loads(data.files["train"].read_text())


@pytest.mark.parametrize("masks", [True, False])
def test_coco_files_of_parts_are_written_with_categories_from_one(tmp_path: Path, masks: bool) -> None:
    coco(tmp_path / "data", "train", 3, masks=masks)
    coco(tmp_path / "data", "val", 2, masks=masks)
    data, content = written(tmp_path / "data", tmp_path / "out")
    assert data.classes == ("cat", "dog")
    assert data.counts == {"train": 3, "val": 2}
    assert data.has_masks == masks
    assert [(x["id"], x["name"]) for x in content["categories"]] == [(1, "cat"), (2, "dog")]
    assert {x["category_id"] for x in content["annotations"]} == {1, 2}
    assert all(("segmentation" in x) == masks for x in content["annotations"])
    assert all((data.root / x["file_name"]).is_file() for x in content["images"])
    assert content["annotations"][0]["bbox"] == [2, 3, 10, 12]


def test_folders_of_roboflow_and_a_single_file_are_read(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        file = coco(tmp_path / "a", part, 2, masks=False)
        file.rename(tmp_path / "a" / part / "_annotations.coco.json")
    assert {k: len(x) for k, x in find_data(tmp_path / "a", "det").parts.items()} == {"train": 2, "val": 2}
    single = coco(tmp_path / "b", "images", 3, masks=False)
    for place in (tmp_path / "b", single):
        root = place if place.is_dir() else single.rename(tmp_path / "b" / "instances.json")
        assert {k: len(x) for k, x in find_data(root, "det").parts.items()} == {"train": 3}


def changed(file: Path, section: str, index: int, **values: object) -> None:
    content = json.loads(file.read_text())
    content[section][index].update(values)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("annotations", {"bbox": [1, 2, 3]}, r"annotation 1: bbox takes 4 numbers, got \[1, 2, 3\]"),
        ("annotations", {"bbox": [1, 2, None, 4]}, "annotation 1: bbox takes 4 numbers"),
        ("annotations", {"bbox": [1, 2, float("nan"), 4]}, "annotation 1: bbox takes 4 numbers"),
        ("annotations", {"segmentation": [[1, None]]}, "annotation 1: segmentation takes lists of numbers"),
        ("annotations", {"segmentation": [1, 2, 3]}, "annotation 1: segmentation takes lists of numbers"),
        ("annotations", {"category_id": 99}, "annotation 1: no category has the id 99"),
        ("annotations", {"image_id": 99}, "annotation 1: no image has the id 99"),
        ("images", {"file_name": "no.png"}, "1 of 2 images are not in"),
        ("images", {"width": None}, "has the size None x 24"),
        ("categories", {"name": "dog"}, "two categories of the name 'dog'"),
    ],
)
def test_wrong_coco_entries_are_named(tmp_path: Path, section: str, values: dict, told: str) -> None:
    file = coco(tmp_path, "train", 2, masks=False)
    changed(file, section, 0, **values)
    with pytest.raises(DataError, match=told):
        find_data(tmp_path, "det")


def test_a_category_without_objects_is_no_class(tmp_path: Path) -> None:
    file = coco(tmp_path, "train", 2, masks=False)
    content = json.loads(file.read_text())
    content["categories"].insert(0, {"id": 0, "name": "animals"})
    file.write_text(json.dumps(content))
    found = find_data(tmp_path, "det")
    assert found.classes == ("cat", "dog")
    assert "categories without objects are no classes: animals" in found.notes


def test_a_test_file_without_objects_is_left_for_prediction(tmp_path: Path) -> None:
    coco(tmp_path, "train", 2, masks=False)
    content = json.loads(coco(tmp_path, "test", 2, masks=False).read_text())
    text(tmp_path / "annotations/instances_test.json", json.dumps({**content, "annotations": []}))
    found = find_data(tmp_path, "det")
    assert list(found.parts) == ["train"]
    assert "mmvisionllama predict takes its images later" in found.notes[-1]


def test_objects_without_masks_among_many_leave_boxes_alone_and_it_is_said(tmp_path: Path) -> None:
    file = coco(tmp_path / "data", "train", 2, masks=True)
    changed(file, "annotations", 0, segmentation=[])
    data, content = written(tmp_path / "data", tmp_path / "out")
    assert not data.has_masks
    assert data.notes == ("1 objects have no mask: boxes alone are learned",)
    assert not any("segmentation" in x for x in content["annotations"])


def test_masks_that_are_boxes_leave_boxes_alone(tmp_path: Path) -> None:
    coco(tmp_path / "data", "train", 2, masks=True, rectangles=True)
    data, _ = written(tmp_path / "data", tmp_path / "out")
    assert not data.has_masks
    assert data.notes == ("no object has a mask: boxes alone are learned",)


def test_a_few_objects_without_masks_count_for_nothing(tmp_path: Path) -> None:
    file = coco(tmp_path / "data", "train", 12, masks=True)
    changed(file, "annotations", 0, segmentation=None)
    data, content = written(tmp_path / "data", tmp_path / "out")
    assert data.has_masks
    assert data.notes == ("1 of 24 objects have no mask and count for nothing (cat)",)
    assert [x["iscrowd"] for x in content["annotations"]] == [1] + [0] * 23
    assert content["annotations"][0]["segmentation"] == [[2, 3, 12, 3, 12, 15, 2, 15]]


def test_run_lengths_and_crowds_are_kept(tmp_path: Path) -> None:
    file = coco(tmp_path / "data", "train", 1, masks=True)
    rle = {"size": [24, 32], "counts": [0, 10, 758]}
    changed(file, "annotations", 1, segmentation=rle, iscrowd=1)
    _, content = written(tmp_path / "data", tmp_path / "out")
    assert content["annotations"][1]["segmentation"] == rle
    assert content["annotations"][1]["iscrowd"] == 1


@pytest.mark.parametrize("place", ["images", "Annotations"])
def test_voc_files_lie_beside_images_or_in_a_folder_of_their_own(tmp_path: Path, place: str) -> None:
    for path in images(tmp_path / "images", 2):
        voc(path, [("b", 2, 3, 12, 13), ("a", 1, 1, 5, 6)], tmp_path / place / f"{path.stem}.xml")
    found = find_data(tmp_path, "det")
    assert found.classes == ("a", "b")
    assert boxes(found)["0.png"] == [("b", 2, 3, 10, 10), ("a", 1, 1, 4, 5)]


def test_voc_lists_divide_the_images(tmp_path: Path) -> None:
    for path in images(tmp_path / "JPEGImages", 3, ".jpg"):
        voc(path, [("a", 2, 3, 12, 13)], tmp_path / "Annotations" / f"{path.stem}.xml")
    text(tmp_path / "ImageSets/Main/train.txt", "0\n2\n")
    text(tmp_path / "ImageSets/Main/val.txt", "1\n")
    found = find_data(tmp_path, "det")
    assert [[*boxes(found, part)] for part in ("train", "val")] == [["0.jpg", "2.jpg"], ["1.jpg"]]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotation>&b;</annotation>'
SECRET = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'


@pytest.mark.parametrize("content", [BOMB, SECRET, BOMB.encode("utf-16")])
def test_xml_that_defines_entities_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = image(tmp_path / "0.png")
    path.with_suffix(".xml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=r"0\.xml: it declares a document type"):
        find_data(tmp_path, "det")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("<annotation><size>", "no element found"),
        ("<annotation/>", "<annotation> has no size/width"),
    ],
)
def test_damaged_xml_is_named(tmp_path: Path, content: str, told: str) -> None:
    text(image(tmp_path / "0.png").with_suffix(".xml"), content)
    with pytest.raises(DataError, match=rf"0\.xml: {told}"):
        find_data(tmp_path, "det")


def test_a_box_of_voc_without_area_is_an_error(tmp_path: Path) -> None:
    voc(image(tmp_path / "0.png"), [("a", 5, 5, 5, 9)])
    with pytest.raises(DataError, match=r"a box from \(5, 5\) to \(5, 9\) has no area"):
        find_data(tmp_path, "det")


@pytest.mark.parametrize(
    ("picture", "labels"),
    [
        ("images/{part}/0.png", "labels/{part}/0.txt"),
        ("{part}/images/0.png", "{part}/labels/0.txt"),
        ("{part}/0.png", "{part}/0.txt"),
    ],
)
def test_yolo_boxes_are_in_pixels_and_have_the_names_of_the_table(
    tmp_path: Path, picture: str, labels: str
) -> None:
    for part in ("train", "val"):
        image(tmp_path / picture.format(part=part))
        text(tmp_path / labels.format(part=part), "1 0.5 0.5 0.25 0.5\n0 0.25 0.25 0.5 0.5\n")
    text(tmp_path / "data.yaml", "train: x\nnames: {0: zebra, 1: ant}\n")
    found = find_data(tmp_path, "det")
    assert found.classes == ("zebra", "ant")
    expected = [("ant", 12, 6, 8, 12), ("zebra", 0, 0, 16, 12)]
    assert boxes(found) == boxes(found, "val") == {"0.png": expected}


def test_yolo_polygons_are_masks_and_images_without_labels_show_nothing(tmp_path: Path) -> None:
    images(tmp_path, 2)
    text(tmp_path / "0.txt", "0 0.25 0.25 0.75 0.25 0.5 0.75\n")
    text(tmp_path / "classes.txt", "thing\n")
    data, content = written(tmp_path, tmp_path.parent / f"{tmp_path.name}_out")
    assert data.has_masks
    (only,) = content["annotations"]
    assert only["segmentation"] == [[8, 6, 24, 6, 16, 18]]
    assert (only["bbox"], only["area"]) == ([8, 6, 16, 12], 96)
    assert len(content["images"]) == 2


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("0 12 30 8 9", "is not in shares of the image's sides"),
        ("0 0.5 0.5 0.1", "takes a class and 4 numbers of a box, or 6 or more of a polygon, got 4 numbers"),
        ("0 0.5 0.5 0.0 0.1", "a box of 0.0 x 0.1 has no area"),
        ("0 0.5 0.5 nan 0.1", "is not in shares"),
        ("cat 0.5 0.5 0.1 0.1", "is no row of numbers"),
        ("7 0.5 0.5 0.1 0.1", "labels have the class 7, the names are 1: thing"),
    ],
)
def test_wrong_rows_of_yolo_are_named(tmp_path: Path, row: str, told: str) -> None:
    images(tmp_path, 2)
    text(tmp_path / "0.txt", "0 0.5 0.5 0.1 0.1\n")
    text(tmp_path / "1.txt", f"0 0.5 0.5 0.1 0.1\n{row}\n")
    text(tmp_path / "classes.txt", "thing\n")
    with pytest.raises(DataError, match=told):
        find_data(tmp_path, "det")


def test_a_table_of_yolo_runs_no_code(tmp_path: Path) -> None:
    text(image(tmp_path / "0.png").with_suffix(".txt"), "0 0.5 0.5 0.1 0.1\n")
    planted = tmp_path / "ran"
    text(tmp_path / "data.yaml", f"names: !!python/object/apply:os.mkdir ['{planted}']\n")
    with pytest.raises(DataError, match=r"data\.yaml cannot be read"):
        find_data(tmp_path, "det")
    assert not planted.exists()


def test_shapes_of_labelme_are_objects_and_points_are_not(tmp_path: Path) -> None:
    shapes = [
        {"label": "leaf", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 7]]},
        {"label": "box", "shape_type": "rectangle", "points": [[12, 8], [4, 2]]},
        {"label": "ring", "shape_type": "circle", "points": [[16, 12], [20, 12]]},
        {"label": "spot", "shape_type": "point", "points": [[3, 3]]},
    ]
    labelme(image(tmp_path / "0.png"), shapes)
    found = find_data(tmp_path, "det")
    leaf, box, ring = found.parts["train"][0].label.objects
    assert (leaf.box, leaf.mask) == ((1, 1, 8, 6), [[1, 1, 9, 1, 9, 7]])
    assert box.box == (4, 2, 8, 6)
    assert [x.is_masked for x in (leaf, box, ring)] == [True, False, True]
    assert ring.box == pytest.approx((12, 8, 8, 8))
    assert "left out, no areas: point" in found.notes


@pytest.mark.parametrize(
    "shape",
    [
        {"label": "a", "shape_type": "polygon", "points": [[1, 1], [2, 2]]},
        {"label": "a", "shape_type": "polygon", "points": [[1, 1], [1, 5], [1, 9]]},
        {"label": "a", "shape_type": "rectangle", "points": None},
        {"label": "a", "shape_type": "rectangle", "points": [[1, 1], [float("nan"), 2]]},
        {"shape_type": "rectangle", "points": [[1, 1], [2, 2]]},
    ],
)
def test_shapes_without_area_or_label_are_named(tmp_path: Path, shape: dict) -> None:
    labelme(image(tmp_path / "0.png"), [shape])
    with pytest.raises(DataError, match=r"0\.json, shape 0: "):
        find_data(tmp_path, "det")


def test_images_without_annotations_are_left_out_and_said(tmp_path: Path) -> None:
    first, _ = images(tmp_path, 2)
    voc(first, [("a", 2, 3, 12, 13)])
    found = find_data(tmp_path, "det")
    assert [*boxes(found)] == ["0.png"]
    assert found.notes == ("1 images have no annotations and are left out: 1.png",)


def test_a_part_with_classes_of_its_own_is_an_error(tmp_path: Path) -> None:
    for part, name in (("train", "a"), ("val", "b")):
        voc(image(tmp_path / part / "0.png"), [(name, 2, 3, 12, 13)])
        voc(image(tmp_path / part / "1.png"), [("c", 2, 3, 12, 13)])
    with pytest.raises(DataError, match="val shows classes without training: b"):
        find_data(tmp_path, "det")


def test_annotations_without_any_object_are_an_error(tmp_path: Path) -> None:
    voc(image(tmp_path / "0.png"), [])
    with pytest.raises(DataError, match="no image for training shows an object"):
        find_data(tmp_path, "det")
