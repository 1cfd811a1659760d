"""Trees are read as trainings from folders read them; classes that would move labels are refused."""

from pathlib import Path

import numpy as np
import pytest
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmvisionllama.errors import DataError
from mmvisionllama.shards.source_images import SourcePart, _classes, find_images
from tests.shards.trees import CLASSES, in_folders, write_tree


def test_class_folders_give_the_samples_of_the_data_set_that_reads_folders(tree: Path) -> None:
    source, folders = find_images(tree), in_folders(tree)
    part = source.parts["train"]
    assert source.classes == CLASSES and list(source.parts) == ["train", "val"]
    assert part.labels.tolist() == folders.get_gt_labels().tolist()
    paths = [str(part.folder / x) for x in part.names]
    assert paths == [folders.get_data_info(i)["img_path"] for i in range(24)]


def test_a_folder_of_class_folders_is_a_part_of_its_own(tree: Path) -> None:
    source = find_images(tree / "val")
    assert list(source.parts) == ["train"] and source.classes == CLASSES


def test_lists_of_files_and_labels_are_followed_as_imagenet_has_them(tmp_path: Path) -> None:
    tree = write_tree(tmp_path)
    (tree / "meta").mkdir()
    (tree / "meta" / "train.txt").write_text("emu/emu.v1_0.JPEG 4\ncat/cat.v1_1.JPEG 2\n")
    (tree / "meta" / "val.txt").write_text("cat/cat.v1_0.JPEG 2\ndog/dog.v1_0.JPEG 3\n")
    part = find_images(tree).parts["train"]
    assert part.names == ("emu/emu.v1_0.JPEG", "cat/cat.v1_1.JPEG") and part.labels.tolist() == [4, 2]
    with pytest.raises(DataError, match="--classes names 2 classes, and there are 5"):
        find_images(tree, classes=("a", "b"))


def test_images_without_folders_and_those_asked_for_are_unlabelled(tree: Path) -> None:
    assert find_images(tree, labelled=False).parts["train"].labels.tolist() == [-1] * 24
    assert find_images(tree / "val" / "cat").parts["train"].labels.tolist() == [-1] * 2


def test_parts_with_other_class_folders_are_refused(tmp_path: Path) -> None:
    tree = write_tree(tmp_path)
    (tree / "val" / "emu").rename(tree / "val" / "fox")
    with pytest.raises(DataError, match=r"val and train have other class folders.*emu, fox"):
        find_images(tree)


def test_imagenet_has_the_names_that_its_data_set_gives_the_classes() -> None:
    names = tuple(f"n{x:08}/n{x:08}_1.JPEG" for x in range(1000))
    part = SourcePart(Path("."), names, np.arange(1000), np.ones(1000, np.int64))
    assert _classes({"train": part}, {}, ()) == tuple(IMAGENET_CATEGORIES)
    other = SourcePart(Path("."), names[::-1], np.arange(1000), part.sizes)
    assert _classes({"train": other}, {}, ()) == ()
