"""Every kind of broken data is found before a run, and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from mmvisionllama.checks import seg_data as seg_checks
from mmvisionllama.checks.data import check_dataset, require_sound_data
from mmvisionllama.errors import ConfigError

META = {"classes": ("ground", "square"), "palette": [[0, 0, 0], [255, 255, 255]]}


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write four sound images of 30 x 20 pixels with labels 0, 1 and 255."""
    for folder in ("images", "annotations"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(4):
        write_pair(tmp_path / "data", str(index))
    return tmp_path / "data"


def write_pair(root: Path, name: str, labels: np.ndarray | None = None) -> None:
    if labels is None:
        labels = np.tile(np.array([0, 1, 255], np.uint8), (20, 10))
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(root / "images" / f"{name}.jpg")
    Image.fromarray(labels).save(root / "annotations" / f"{name}.png")


def cfg_of(root: Path, **changes: Any) -> dict[str, Any]:
    prefix = {"img_path": "images", "seg_map_path": "annotations"}
    pipeline = [{"type": "mmvisionllama.LoadImageFromFile", "max_corrupt": 10}]
    cfg = {"type": "BaseSegDataset", "data_root": str(root), "data_prefix": prefix, "metainfo": META}
    return {**cfg, "pipeline": pipeline, **changes}


def found(cfg: Any, num_classes: int | None = 2) -> list[str]:
    return [str(problem) for problem in check_dataset(cfg, num_classes).problems]


def test_sound_data_have_no_problem_and_it_says_what_was_looked_at(root: Path) -> None:
    checked = check_dataset(cfg_of(root), 2)
    assert checked.problems == []
    assert checked.looked_at == [
        "BaseSegDataset (training): compared the sizes of 4 images and annotations",
        "BaseSegDataset (training): read the labels of 4 of 4 annotations",
    ]


@pytest.mark.parametrize(
    ("folder", "hint"),
    [
        ("digitscenes/ade20k", "python tools/prepare_digitscenes.py"),
        ("ade/ADEChallengeData2016", "docs/data.md says how to get ADE20K"),
        ("own", "does not exist"),
    ],
)
def test_a_missing_data_root_says_how_to_prepare_it(tmp_path: Path, folder: str, hint: str) -> None:
    (problem,) = found(cfg_of(tmp_path / folder))
    assert str(tmp_path / folder) in problem and problem.endswith(hint)


def test_missing_folders_are_all_named(root: Path) -> None:
    problems = found(cfg_of(root, data_prefix={"img_path": "img", "seg_map_path": "ann"}))
    assert problems == [
        f"BaseSegDataset (training): the folder {root}/{folder} does not exist" for folder in ("img", "ann")
    ]


def test_a_missing_annotation_file_is_named(root: Path) -> None:
    (problem,) = found(cfg_of(root, ann_file="split.txt"))
    assert f"{root}/split.txt does not exist" in problem


def test_an_empty_data_set_is_a_problem(root: Path) -> None:
    (problem,) = found(cfg_of(root, img_suffix=".tif"))
    assert "is empty: nothing with names in .tif" in problem and f"{root}/images" in problem


def test_images_without_annotation_are_named(root: Path) -> None:
    (root / "annotations" / "2.png").unlink()
    (problem,) = found(cfg_of(root))
    assert "1 of 4 images have no annotation" in problem and problem.endswith(": 2.jpg")


def test_annotations_without_image_are_named(root: Path) -> None:
    (root / "images" / "1.jpg").unlink()
    (problem,) = found(cfg_of(root))
    assert problem.endswith("1 annotations have no image: 1.png")


def test_a_part_of_the_images_is_no_problem(root: Path) -> None:
    (root / "split.txt").write_text("0\n3\n")
    assert found(cfg_of(root, ann_file="split.txt")) == []
    assert found(cfg_of(root, indices=2)) == []


def test_an_annotation_of_another_size_is_named_with_both_sizes(root: Path) -> None:
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(root / "annotations" / "3.png")
    (problem,) = found(cfg_of(root))
    assert problem.endswith(
        "1 of 4 annotations differ in size from their image (width x height): 3.jpg 30x20, labels 20x30"
    )


def test_the_size_of_an_image_is_that_after_its_exif_orientation(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "images" / "0.jpg", exif=exif)
    (problem,) = found(cfg_of(root))
    assert problem.endswith("0.jpg 20x30, labels 30x20")


@pytest.mark.parametrize("num_classes", [2, None])
def test_labels_out_of_range_are_listed_with_their_files(root: Path, num_classes: int | None) -> None:
    write_pair(root, "1", np.full((20, 30), 7, np.uint8))
    write_pair(root, "2", np.full((20, 30), 2, np.uint8))
    (problem,) = found(cfg_of(root), num_classes)
    assert "2 of the 4 of 4 annotations read hold labels out of range: 2, 7;" in problem
    assert problem.endswith("allowed are 0 to 1, and 255 is ignored: 1.png, 2.png")


def test_labels_are_judged_after_label_zero_was_taken_out(root: Path) -> None:
    for index in range(4):
        write_pair(root, str(index), np.tile(np.array([0, 1, 2], np.uint8), (20, 10)))
    assert found(cfg_of(root, reduce_zero_label=True)) == []
    assert "labels out of range: 2;" in found(cfg_of(root))[0]


def test_labels_without_a_single_class_are_a_problem(root: Path) -> None:
    for index in range(4):
        write_pair(root, str(index), np.zeros((20, 30), np.uint8))
    (problem,) = found(cfg_of(root, reduce_zero_label=True))
    assert "none of the 4 of 4 annotations read has a labelled pixel" in problem


@pytest.mark.parametrize(
    ("dtype", "mode", "shape"), [(np.uint16, "I;16", (20, 30)), (np.uint8, "RGB", (20, 30, 3))]
)
def test_a_label_map_that_is_not_of_one_byte_is_named(
    root: Path, dtype: type, mode: str, shape: tuple[int, ...]
) -> None:
    write_pair(root, "1", np.zeros(shape, dtype))
    (problem,) = found(cfg_of(root))
    assert f"1.png (mode {mode}, expected one channel of 8 bits)" in problem


def test_a_cut_off_annotation_is_named_though_its_labels_are_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seg_checks, "LABELS_DECODED", 1)
    path = root / "annotations" / "2.png"
    path.write_bytes(path.read_bytes()[:-20])
    (problem,) = found(cfg_of(root))
    assert problem.endswith("1 annotations cannot be read: 2.png")


@pytest.mark.parametrize("evaluated", [False, True])
def test_an_unreadable_image_is_fatal_for_an_evaluation_alone(root: Path, evaluated: bool) -> None:
    (root / "images" / "0.jpg").write_bytes(b"no image")
    (problem,) = check_dataset(cfg_of(root), 2, evaluated).problems
    assert str(problem).endswith("1 images cannot be read: 0.jpg")
    assert problem.fatal == evaluated


def test_another_number_of_classes_than_the_model_has_is_a_problem(root: Path) -> None:
    assert "the data set has 2 classes, the model predicts 150" in found(cfg_of(root), 150)[0]


def test_of_many_annotations_an_evenly_spaced_sample_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seg_checks, "LABELS_DECODED", 2)
    write_pair(root, "3", np.full((20, 30), 9, np.uint8))
    checked = check_dataset(cfg_of(root), 2)
    assert "1 of the 2 of 4 annotations read hold labels out of range: 9" in str(checked.problems[0])


def repeated(cfg: dict) -> dict:
    return {"type": "RepeatDataset", "times": 3, "dataset": cfg}


def joined(cfg: dict) -> dict:
    return {"type": "ConcatDataset", "datasets": [cfg, repeated(cfg)]}


@pytest.mark.parametrize(("wrap", "number"), [(repeated, 1), (joined, 2)])
def test_what_a_wrapper_holds_is_checked(root: Path, wrap: Callable[[dict], dict], number: int) -> None:
    (root / "annotations" / "2.png").unlink()
    assert len(found(wrap(cfg_of(root)))) == number
    assert len(found(DATASETS.build(wrap(cfg_of(root))))) == number


def test_a_data_set_of_another_task_is_checked_for_its_annotation_file(tmp_path: Path) -> None:
    cfg = {"type": "mmdet.CocoDataset", "data_root": str(tmp_path), "ann_file": "train.json"}
    assert "train.json does not exist" in found(cfg)[0]


def config(root: Path, **changes: Any) -> Config:
    loaders = {f"{part}_dataloader": {"dataset": cfg_of(root, **changes)} for part in ("val", "test")}
    train = {"dataset": cfg_of(root)}
    model = {"decode_head": {"num_classes": 2}}
    return Config({"default_scope": "mmseg", "model": model, "train_dataloader": train, **loaders})


def test_one_error_lists_the_problems_of_all_data_sets(root: Path) -> None:
    write_pair(root, "1", np.full((20, 30), 7, np.uint8))
    with pytest.raises(ConfigError) as error:
        require_sound_data(config(root, img_suffix=".tif"), "train_dataloader", "val_dataloader")
    assert "(training): 1 of the 4" in str(error.value)
    assert "(evaluation): the data set is empty" in str(error.value)


def test_a_data_set_that_two_loaders_share_is_checked_once(root: Path) -> None:
    remarks = require_sound_data(config(root), "val_dataloader", "test_dataloader")
    assert len(remarks) == 2


def test_a_corrupt_training_image_is_remarked_and_lets_the_run_go_on(root: Path) -> None:
    (root / "images" / "0.jpg").write_bytes(b"no image")
    remarks = require_sound_data(config(root), "train_dataloader")
    assert remarks[-1].endswith("1 images cannot be read: 0.jpg")
