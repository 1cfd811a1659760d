"""Label maps that a segmentor would learn something else from than what they show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.checks.generated import LOADER, image, pairs, said, segmentation

PIPELINE = (LOADER, dict(type="LoadAnnotations"), dict(type="PackSegInputs", meta_keys=()))


def halves(*values: int) -> np.ndarray:
    """Return a label map of 12 x 16 px with a stripe of each value."""
    return np.uint8(values)[np.arange(16) * len(values) // 16][None].repeat(12, axis=0)


def found(
    root: Path, *masks: np.ndarray, split: str = "train", num_classes: int = 2, **options: Any
) -> tuple[str, str]:
    return said(segmentation(num_classes, **{split: pairs(root, split, masks, PIPELINE, **options)}))


def test_sound_label_maps_are_loaded_as_a_run_does(tmp_path: Path) -> None:
    assert found(tmp_path, halves(0, 1), halves(0, 255)) == ("", "")


def test_masks_of_0_and_255_have_one_class_alone(tmp_path: Path) -> None:
    errors, _ = found(tmp_path, halves(0, 255), halves(0, 255))
    assert "no pixel of the 2 of 2 annotations read has the classes square, and 255 is ignored" in errors
    assert "write its number; there is one class to learn" in errors


@pytest.mark.parametrize(("values", "absent"), [((0, 0), "square"), ((1, 255), "ground"), ((1, 1), "ground")])
def test_a_training_of_one_class_alone(tmp_path: Path, values: tuple[int, int], absent: str) -> None:
    assert f"has the classes {absent}" in found(tmp_path, halves(*values))[0]


def test_labels_of_0_and_1_of_which_0_is_taken_out(tmp_path: Path) -> None:
    errors, _ = found(tmp_path, halves(0, 1), reduce_zero_label=True)
    assert "has the classes square" in errors and "label 0 was taken out (reduce_zero_label=True)" in errors


def test_a_class_of_several_that_no_pixel_has_is_said(tmp_path: Path) -> None:
    three = dict(classes=("ground", "square", "circle"))
    errors, notes = found(tmp_path, halves(0, 2), num_classes=3, metainfo=three)
    assert errors == "" and "has the classes square" in notes


def test_a_validation_of_one_class_is_said(tmp_path: Path) -> None:
    errors, notes = found(tmp_path, halves(0), split="val")
    assert errors == "" and "has the classes square" in notes


def test_labels_between_classes_of_smoothed_masks(tmp_path: Path) -> None:
    smooth = np.linspace(0, 250, 16).astype(np.uint8)[None].repeat(12, axis=0)
    errors, _ = found(tmp_path, halves(0, 1), smooth)
    assert "labels out of range: 16" in errors and "1.png" in errors
    assert "resize them with nearest neighbours, and save them as PNG" in errors


def test_label_maps_that_were_compressed_as_jpegs(tmp_path: Path) -> None:
    cfg = segmentation(train=pairs(tmp_path, "train", [halves(0, 1)], PIPELINE, seg_map_suffix=".jpg"))
    Image.fromarray(halves(0, 1)).save(tmp_path / "train" / "masks" / "0.jpg")
    assert "its label maps are JPEGs" in said(cfg)[0]


def test_files_with_bytes_after_their_picture_are_sound(tmp_path: Path) -> None:
    pairs(tmp_path, "train", [halves(0, 1)])
    for name in ("masks/0.png", "images/0.jpg"):
        with (tmp_path / "train" / name).open("ab") as file:
            file.write(bytes(5000))
    whole = pairs(tmp_path, "other", [halves(0, 1)], PIPELINE) | dict(data_root=str(tmp_path / "train"))
    assert said(segmentation(train=whole)) == ("", "")


@pytest.mark.parametrize("name", ["9.JPG", "9.jpeg", "deep/9.png"])
def test_images_whose_suffix_is_not_taken_are_said(tmp_path: Path, name: str) -> None:
    cfg = segmentation(train=pairs(tmp_path, "train", [halves(0, 1)], PIPELINE))
    image(tmp_path / "train" / "images" / name)
    errors, notes = said(cfg)
    assert (
        errors == ""
        and f"1 of 2 image files in {tmp_path}/train/images are not taken: 1 .{name[-3:].lstrip('.')}"[:60]
        in notes
    )


def test_an_image_that_a_list_names_and_that_is_not_there(tmp_path: Path) -> None:
    cfg = segmentation(train=pairs(tmp_path, "train", [halves(0, 1)], PIPELINE, ann_file="list.txt"))
    (tmp_path / "train" / "list.txt").write_text("0\n7\n")
    assert f"1 images do not exist: {tmp_path}/train/images/7.jpg" in said(cfg)[0]


def test_a_training_without_label_maps(tmp_path: Path) -> None:
    cfg = segmentation(train=pairs(tmp_path, "train", [halves(0, 1)], PIPELINE))
    cfg.train_dataloader.dataset.data_prefix = dict(img_path="images")
    assert "it has no label maps (data_prefix.seg_map_path)" in said(cfg)[0]
