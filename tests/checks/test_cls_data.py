"""Data of classifiers that cannot be used, and what is said of them before a run."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.errors import ConfigError

CLASSES = ("ant", "bee", "cat")


def write(root: Path, split: str, classes: tuple[str, ...] = CLASSES, images: int = 2) -> None:
    for name in classes:
        folder = root / split / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(images):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / f"{index}.png")


def config(root: Path, num_classes: int = 3) -> Config:
    def loader(split: str) -> dict:
        return dict(dataset=dict(type="CustomDataset", data_root=str(root), data_prefix=split, pipeline=[]))

    return Config(
        dict(
            default_scope="mmpretrain",
            model=dict(head=dict(num_classes=num_classes)),
            train_dataloader=loader("train"),
            val_dataloader=loader("val"),
        )
    )


def error_of(cfg: Config) -> str:
    with pytest.raises(ConfigError) as caught:
        require_sound_data(cfg, "train_dataloader", "val_dataloader")
    return str(caught.value)


def test_sound_data_are_counted(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, split)
    notes = require_sound_data(config(tmp_path), "train_dataloader", "val_dataloader")
    assert notes == [
        "CustomDataset (training): 6 images of 3 classes",
        "CustomDataset (evaluation): 6 images of 3 classes",
    ]


def test_class_folders_that_differ_between_training_and_validation_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "train")
    write(tmp_path, "val", ("ant", "bea", "cat"))
    text = error_of(config(tmp_path))
    assert f"{tmp_path}/val: its class folders are not those of {tmp_path}/train: " in text
    assert f"{tmp_path}/train alone has bee; {tmp_path}/val alone has bea" in text


def test_class_folders_that_differ_are_listed_also_where_the_config_names_the_classes(tmp_path: Path) -> None:
    write(tmp_path, "train")
    write(tmp_path, "val", ("ant", "bea", "cat"))
    cfg = config(tmp_path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.metainfo = dict(classes=CLASSES)
    assert f"{tmp_path}/train alone has bee; {tmp_path}/val alone has bea" in error_of(cfg)


def test_a_model_without_classes_takes_images_in_any_folders(tmp_path: Path) -> None:
    write(tmp_path, "train", ("all",))
    write(tmp_path, "val", ("ant", "bee"))
    cfg = config(tmp_path)
    cfg.model = dict(head=dict(type="MAEPretrainHead"))
    assert len(require_sound_data(cfg, "train_dataloader", "val_dataloader")) == 2


def test_fewer_classes_than_the_head_predicts_are_an_error_with_both_numbers(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, split)
    text = error_of(config(tmp_path, 10))
    assert "the data set has 3 classes (ant, bee, cat), the model's head predicts 10; set" in text
    assert "model.head.num_classes=3" in text


def test_images_that_are_all_of_one_class_are_an_error(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, split, ("bee",))
        for other in ("ant", "cat"):
            (tmp_path / split / other).mkdir()
    assert f"all 2 images in {tmp_path}/train are of one class, 'bee'" in error_of(config(tmp_path))


def test_a_missing_split_and_an_empty_one_are_named(tmp_path: Path) -> None:
    write(tmp_path, "train", images=0)
    text = error_of(config(tmp_path))
    assert "Found 0 files" in text
    assert f"the folder {tmp_path / 'val'} does not exist" in text


def test_a_wrong_number_of_folders_for_named_classes_is_an_error(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, split)
    cfg = config(tmp_path, 2)
    cfg.train_dataloader.dataset.metainfo = dict(classes=["ant", "bee"])
    text = error_of(cfg)
    assert f"{tmp_path}/train has 3 class folders (ant, bee, cat), the data set 2 classes" in text
    assert "name them in dataset.metainfo.classes, and set model.head.num_classes=3" in text
