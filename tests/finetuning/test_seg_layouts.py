"""Images and masks: pairs, what values mean, and the label maps that are written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.annotation_files import Annotations, write_annotations
from mmvisionllama.finetuning.label_maps import LabelMaps, read_class_table, understand_masks
from mmvisionllama.finetuning.layouts import find_data
from tests.finetuning.trees import coloured_mask, image, images, mask, text


def understood(root: Path, table: Path | None = None, ignore: int | None = None) -> LabelMaps:
    found = find_data(root, "seg")
    return understand_masks(found, read_class_table(table, found.root), ignore)


def written(root: Path, out: Path) -> tuple[Annotations, list[tuple[str, Path]]]:
    """Return what a data set is told, and for each image its label map as mmseg pairs them."""
    found = find_data(root, "seg")
    data = write_annotations(
        "seg", found, out, out, understand_masks(found, read_class_table(None, found.root))
    )
    prefix = data.options["data_prefix"]
    pairs = []
    for name in data.files["train"].read_text().split():
        picture = Path(prefix["img_path"], name + data.options["img_suffix"])
        assert picture.is_file()
        pairs.append((picture.name, Path(prefix["seg_map_path"], name + data.options["seg_map_suffix"])))
    return data, pairs


@pytest.mark.parametrize(
    ("picture", "target"),
    [
        ("images/{}.jpg", "masks/{}.png"),
        ("images/{}.png", "masks/{}.png"),
        ("img/{}.png", "labels/{}_mask.png"),
        ("train/images/{}.png", "train/masks/{}.png"),
        ("images/training/{}.jpg", "annotations/training/{}.png"),
        ("both/{}.png", "both/{}_mask.png"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
    ],
)
def test_masks_that_are_label_maps_are_used_where_they_lie(tmp_path: Path, picture: str, target: str) -> None:
    for i in range(3):
        image(tmp_path / "data" / picture.format(i))
        mask(tmp_path / "data" / target.format(i))
    data, pairs = written(tmp_path / "data", tmp_path / "out")
    assert data.classes == ("label 0", "label 1", "label 2")
    assert [path for _, path in pairs] == [tmp_path / "data" / target.format(i) for i in range(3)]
    assert not (tmp_path / "out" / "label_maps").exists()


def test_images_of_several_endings_get_label_maps_that_mmseg_can_pair(tmp_path: Path) -> None:
    for name, ending in (("a", ".jpg"), ("b", ".png")):
        image(tmp_path / "data" / "images" / f"{name}{ending}")
        mask(tmp_path / "data" / "masks" / f"{name}.png")
    _, pairs = written(tmp_path / "data", tmp_path / "out")
    assert [(name, path.name) for name, path in pairs] == [("a.jpg", "a.jpg.png"), ("b.png", "b.png.png")]
    assert np.unique(np.asarray(Image.open(pairs[0][1]))).tolist() == [0, 1, 2]


def pair(root: Path, values: tuple[int, ...], mode: str = "L") -> Path:
    image(root / "images" / "x.png")
    image(root / "images" / "y.png")
    mask(root / "masks" / "x.png", values, mode)
    mask(root / "masks" / "y.png", values[:2], mode)
    return root


@pytest.mark.parametrize(
    ("values", "mode", "labels", "classes"),
    [
        ((0, 1, 2), "L", {0: 0, 1: 1, 2: 2, 255: 255}, 3),
        ((0, 1, 255), "L", {0: 0, 1: 1, 255: 255}, 2),  # 255 counts for nothing
        ((0, 255), "L", {0: 0, 255: 1}, 2),  # but not where it is all that there is
        ((0, 128, 255), "L", {0: 0, 128: 1, 255: 2}, 3),  # levels of grey
        ((0, 5, 12, 255), "P", {0: 0, 5: 1, 12: 2, 255: 255}, 3),  # a part of VOC's palette
    ],
)
def test_values_of_masks_are_labels_or_levels_of_grey(
    tmp_path: Path, values: tuple[int, ...], mode: str, labels: dict[int, int], classes: int
) -> None:
    maps = understood(pair(tmp_path, values, mode))
    assert dict(maps.labels) == labels
    assert len(maps.classes) == classes
    assert maps.as_they_are == all(label == value for value, label in labels.items() if value in values)
    label_map = maps.of(tmp_path / "masks" / "x.png")
    assert np.unique(label_map).tolist() == sorted(labels[x] for x in values)


def test_masks_of_0_and_255_are_background_and_foreground_and_it_is_said(tmp_path: Path) -> None:
    maps = understood(pair(tmp_path, (0, 255)))
    assert maps.classes == ("background", "foreground")
    assert "0 -> 0, 255 -> 1" in maps.notes[0]


def test_an_ignored_value_is_ignored(tmp_path: Path) -> None:
    maps = understood(pair(tmp_path, (0, 1, 2)), ignore=0)
    assert maps.labels == {1: 0, 2: 1, 0: 255}
    assert maps.of(tmp_path / "masks" / "x.png")[0, 0] == 255


def test_names_of_classes_come_from_a_file_and_a_class_without_pixels_is_said(tmp_path: Path) -> None:
    text(pair(tmp_path, (0, 1, 2)) / "classes.txt", "road\nsky\ntree\nsea\n")
    maps = understood(tmp_path)
    assert maps.classes == ("road", "sky", "tree", "sea")
    assert maps.as_they_are
    assert "no pixel that was looked at is of: sea" in maps.notes[-1]


def test_a_table_gives_values_to_names_in_any_order(tmp_path: Path) -> None:
    table = text(tmp_path / "table.csv", "name,value\nsky,2\nroad,0\ntree,1\n")
    maps = understood(pair(tmp_path, (0, 1, 2)), table)
    assert maps.classes == ("sky", "road", "tree")
    assert maps.labels == {2: 0, 0: 1, 1: 2, 255: 255}


@pytest.mark.parametrize(
    ("values", "table", "told"),
    [
        ((0, 0), None, "the masks hold 0 alone; a segmentation needs two classes"),
        ((0, 1, 7), "a\nb\n", "--classes names 2 classes, the masks hold 3 values: 0, 1, 7"),
        ((0, 1, 7), "a,0\nb,1\n", "masks hold 7, beyond the 2 classes"),
        ((0, 1), "a,0\na,1\n", "has a name more than once: a"),
        ((0, 1), "a,0\nb\n", "every line must be NAME, or NAME,VALUE, or NAME,R,G,B, all of one kind"),
    ],
)
def test_values_that_mean_nothing_are_errors(
    tmp_path: Path, values: tuple[int, ...], table: str | None, told: str
) -> None:
    file = None if table is None else text(tmp_path / "table.txt", table)
    with pytest.raises(DataError, match=told):
        understood(pair(tmp_path, values), file)


COLOURS = [(0, 0, 0), (128, 0, 0), (0, 0, 200)]


def coloured(root: Path) -> Path:
    for name in ("x", "y"):
        image(root / "images" / f"{name}.png")
        coloured_mask(root / "masks" / f"{name}.png", COLOURS)
    return root


def test_coloured_masks_without_a_table_are_an_error_that_lists_their_colours(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 colours(?s:.*)--classes FILE:\n  NAME,0,0,0\n  NAME,0,0,200\n"):
        understood(coloured(tmp_path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("class_dict.csv", "name,r,g,b\nroad,128,0,0\nsky,0,0,200\nvoid,0,0,0\n"),
        ("label_colors.txt", "128 0 0 road\n0 0 200 sky\n0 0 0 void\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nroad:128,0,0::\nsky:0,0,200::\nvoid:0,0,0::\n"),
    ],
)
def test_a_colour_table_is_read_as_several_programs_write_it(tmp_path: Path, name: str, content: str) -> None:
    text(coloured(tmp_path) / name, content)
    maps = understood(tmp_path)
    assert maps.classes == ("road", "sky", "void")
    label_map = maps.of(tmp_path / "masks" / "x.png")
    assert [label_map[0, x] for x in (0, 12, 25)] == [2, 0, 1]


def test_a_colour_that_the_table_lacks_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    text(coloured(tmp_path) / "classes.csv", "road,128,0,0\nsky,0,0,200\n")
    with pytest.raises(DataError, match=r"masks/x\.png has \(0, 0, 0\), which no class has"):
        understood(tmp_path).of(tmp_path / "masks" / "x.png")


def test_grey_masks_in_files_of_colours_are_numbers(tmp_path: Path) -> None:
    for name in ("x", "y"):
        image(tmp_path / "images" / f"{name}.png")
        coloured_mask(tmp_path / "masks" / f"{name}.png", [(0, 0, 0), (255, 255, 255)])
    maps = understood(tmp_path)
    assert maps.classes == ("background", "foreground")
    assert np.unique(maps.of(tmp_path / "masks" / "x.png")).tolist() == [0, 1]


def test_masks_in_jpeg_files_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "images" / "x.png")
    image(tmp_path / "masks" / "x.jpg")
    with pytest.raises(DataError, match=r"a mask in a JPEG file has lost its values"):
        understood(tmp_path)


def test_images_and_masks_without_a_partner_are_left_out_and_said(tmp_path: Path) -> None:
    pair(tmp_path, (0, 1, 2))
    image(tmp_path / "images" / "alone.png")
    mask(tmp_path / "masks" / "lost.png")
    found = find_data(tmp_path, "seg")
    assert len(found.parts["train"]) == 2
    assert "1 images have no mask and are left out: alone.png" in found.notes[0]
    assert "1 masks have no image and are left out: lost.png" in found.notes[1]


def test_voc_lists_say_which_part_an_image_is_of(tmp_path: Path) -> None:
    for i in range(4):
        image(tmp_path / "JPEGImages" / f"{i}.jpg")
        mask(tmp_path / "SegmentationClass" / f"{i}.png", mode="P")
    text(tmp_path / "ImageSets/Segmentation/train.txt", "0\n2\n3\n")
    text(tmp_path / "ImageSets/Segmentation/val.txt", "1\n")
    found = find_data(tmp_path, "seg")
    assert {part: [x.image.stem for x in y] for part, y in found.parts.items()} == {
        "train": ["0", "2", "3"],
        "val": ["1"],
    }


@pytest.mark.parametrize(("kind", "values"), [("labelIds", (7, 26, 4)), ("labelTrainIds", (0, 13, 255))])
def test_a_tree_like_that_of_cityscapes_gets_its_19_classes(
    tmp_path: Path, kind: str, values: tuple[int, ...]
) -> None:
    for part in ("train", "val"):
        for i in range(2):
            image(tmp_path / "leftImg8bit" / part / "aachen" / f"a_{i}_leftImg8bit.png")
            mask(tmp_path / "gtFine" / part / "aachen" / f"a_{i}_gtFine_{kind}.png", values)
    images(tmp_path / "leftImg8bit" / "test" / "b", 1)
    found = find_data(tmp_path, "seg")
    maps = understand_masks(found, None)
    assert (len(maps.classes), maps.classes[0], maps.classes[13]) == (19, "road", "car")
    label_map = maps.of(found.parts["val"][0].label)
    assert np.unique(label_map).tolist() == [0, 13, 255]
    assert maps.as_they_are == (kind == "labelTrainIds")
