"""Image files that would be dropped, flattened or refused, and folders that are no classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.checks.generated import LOADER, classification, folders, image, said

FILES = {"ant": ["0.jpg", "1.png"], "bee": ["0.jpg"], "cat": ["0.jpg"]}
PIPELINE = (LOADER, dict(type="PackInputs", meta_keys=()))


def test_sound_images_are_loaded_as_a_run_does(tmp_path: Path) -> None:
    assert said(classification(train=folders(tmp_path, "train", FILES, PIPELINE))) == ("", "")


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__MACOSX", ".git"])
@pytest.mark.parametrize("named", [False, True])
def test_folders_of_programs_are_no_classes(tmp_path: Path, hidden: str, named: bool) -> None:
    names = dict(metainfo=dict(classes=tuple(FILES))) if named else {}
    cfg = classification(train=folders(tmp_path, "train", FILES | {hidden: ["0.jpg"]}, **names))
    errors, _ = said(cfg)
    assert (
        f"{hidden} in {tmp_path}/train are no classes. Remove them: rm -r {tmp_path}/train/{hidden}" in errors
    )
    assert "num_classes" not in errors


@pytest.mark.parametrize("suffix", [".webp", ".tiff"])
def test_images_whose_extension_the_host_drops_are_said(tmp_path: Path, suffix: str) -> None:
    cfg = classification(
        train=folders(tmp_path, "train", FILES | {"bee": ["0.jpg", f"1{suffix}", f"2{suffix}"]})
    )
    errors, notes = said(cfg)
    assert errors == ""
    assert f"2 of 6 image files in {tmp_path}/train are not taken: 2 {suffix} (2 in bee)" in notes
    assert f"'{suffix}')" in notes or f"'{suffix}'," in notes
    cfg.train_dataloader.dataset.extensions = (".jpg", ".png", suffix)
    assert said(cfg) == ("", "")


def test_a_class_whose_images_are_all_dropped(tmp_path: Path) -> None:
    cfg = classification(train=folders(tmp_path, "train", FILES | {"bee": ["0.webp"]}))
    assert "1 of 3 classes have no image: bee; their files are not taken, see above" in said(cfg)[0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_without_images_is_said(tmp_path: Path, split: str) -> None:
    errors, notes = said(classification(**{split: folders(tmp_path, split, FILES | {"bee": []})}))
    assert errors == "" and "1 of 3 classes have no image: bee; leave them out, or add images" in notes


def write_deep(path: Path, most: int) -> None:
    image = np.linspace(0, most, 192).astype(np.uint16).reshape(12, 16)
    cv2.imwrite(str(path), image)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_twelve_bits_in_files_of_sixteen_would_become_black(tmp_path: Path, suffix: str) -> None:
    cfg = classification(train=folders(tmp_path, "train", FILES, PIPELINE))
    write_deep(tmp_path / "train" / "ant" / f"9{suffix}", 4095)
    errors, _ = said(cfg)
    assert f"1 images have more than 8 bits a channel: ant/9{suffix}" in errors
    assert "values up to 4095 as up to 15 of 255, almost black. Save them as 8 bits" in errors


def test_sixteen_bits_that_lose_their_last_ones_are_said(tmp_path: Path) -> None:
    cfg = classification(train=folders(tmp_path, "train", FILES, PIPELINE))
    write_deep(tmp_path / "train" / "ant" / "9.png", 65535)
    errors, notes = said(cfg)
    assert errors == "" and "values up to 65535 as up to 255 of 255" in notes


def test_deep_images_that_the_pipeline_keeps_are_sound(tmp_path: Path) -> None:
    kept = LOADER | dict(color_type="unchanged")
    cfg = classification(train=folders(tmp_path, "train", dict.fromkeys(FILES, ()), (kept, PIPELINE[1])))
    for name in FILES:
        write_deep(tmp_path / "train" / name / "9.png", 4095)
    assert said(cfg) == ("", "")


def test_more_corrupt_images_than_a_training_may_skip(tmp_path: Path) -> None:
    skipping = (LOADER | dict(max_corrupt=1), PIPELINE[1])
    cfg = classification(train=folders(tmp_path, "train", FILES, skipping))
    for number, name in enumerate(("ant", "bee")):
        (tmp_path / "train" / name / "0.jpg").write_bytes(b"no image")
        errors, notes = said(cfg)
        assert f"{number + 1} images cannot be read: ant/0.jpg" in (errors if number else notes)


def test_a_cut_off_image_of_an_evaluation_is_found_wherever_it_is(tmp_path: Path) -> None:
    cfg = classification(val=folders(tmp_path, "val", FILES, PIPELINE))
    path = tmp_path / "val" / "bee" / "0.jpg"
    path.write_bytes(path.read_bytes()[:-8])
    assert "1 images cannot be read: bee/0.jpg" in said(cfg)[0]


def test_a_data_set_or_pipeline_that_cannot_be_built_is_named(tmp_path: Path) -> None:
    data = folders(tmp_path, "train", FILES)
    wrong = data | dict(pipeline=[dict(type="RandomFlip", prob=2)])
    assert (
        "CustomDataset (training): it cannot be built: ValueError: probs"
        in said(classification(train=wrong))[0]
    )
    wrong = data | dict(indices="many")
    assert f"{tmp_path} cannot be read: TypeError" in said(classification(train=wrong))[0]


LINES = {
    "no label": ("ant/0.jpg\nbee/0.jpg 1", "line 1 is 'ant/0.jpg', not a path, a blank, and a label"),
    "name for label": ("ant/0.jpg 0\nbee/0.jpg bee", "line 2 is 'bee/0.jpg bee'"),
    "float": ("ant/0.jpg 0.0", "line 1 is"),
    "negative": ("ant/0.jpg -1", "line 1 is"),
    "empty": ("ant/0.jpg 0\n\n", "line 2 is ''"),
    "too large": ("ant/0.jpg 0\nbee/0.jpg 3", "labels go up to 3, allowed are 0 to 2"),
    "missing image": ("ant/0.jpg 0\nbee/7.jpg 1", "1 images do not exist: "),
}


@pytest.mark.parametrize(("text", "error"), LINES.values(), ids=LINES)
def test_a_list_of_images_and_labels_with_a_wrong_line(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    listed = dict(ann_file="list.txt", metainfo=dict(classes=tuple(FILES)))
    assert error in said(classification(train=folders(tmp_path, "train", FILES, **listed)))[0]


def test_an_image_that_lies_on_its_side_gives_its_turned_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    cfg = classification(val=folders(tmp_path, "val", FILES, PIPELINE))
    image(tmp_path / "val" / "bee" / "0.jpg", exif=exif)
    cfg.val_dataloader.batch_size = 2
    assert "12 x 16, 16 x 12 px" in said(cfg)[1]
