"""Shards hold the images of folders, byte for byte; kills, bad images and full disks leave no half of one."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mmvisionllama.datasets.shard_index import INDEX, UNFINISHED, read_index
from mmvisionllama.errors import DataError, LaunchError
from mmvisionllama.shards import writing
from mmvisionllama.shards.source_images import find_images
from mmvisionllama.shards.tar_members import members_of
from tests.shards.trees import CLASSES, in_shards, shard, write_tree


def contents(folder: Path) -> dict[str, bytes]:
    return {x.name: x.read_bytes() for x in folder.iterdir() if x.name != INDEX}


def test_each_sample_is_the_image_and_its_label_in_the_layout_of_webdataset(tree: Path, shards: Path) -> None:
    found = {}
    for path in shards.glob("train-*.tar"):
        with tarfile.open(path) as archive:
            found |= {x.name: archive.extractfile(x).read() for x in archive}
    images = sorted((tree / "train").rglob("*.*"))
    expected = {}
    for i, file in enumerate(images):
        expected[f"{i:09}.{'png' if file.suffix == '.png' else 'jpg'}"] = file.read_bytes()
        expected[f"{i:09}.cls"] = str(CLASSES.index(file.parent.name)).encode()
    assert found == expected


def test_samples_are_shuffled_over_shards_by_the_seed_alone(tree: Path, shards: Path, tmp_path: Path) -> None:
    keys = [x.name for path in sorted(shards.glob("train-*.tar")) for x in members_of(path)]
    assert keys != sorted(keys) and len(read_index(shards).parts["train"].shards) == 4
    assert contents(shard(tree, tmp_path / "again", workers=1)) == contents(shards)
    assert contents(shard(tree, tmp_path / "other", seed=1)) != contents(shards)
    assert read_index(tmp_path / "other").made_from["seed"] == 1


def test_no_shard_is_larger_than_asked_and_the_room_is_foretold_to_the_byte(
    tree: Path, tmp_path: Path
) -> None:
    part = find_images(tree).parts["train"]
    planned = writing.plan(part, "train", seed=(0, 0), shard_bytes=20_480, shard_samples=100)
    shard(tree, tmp_path, shard_bytes=20_480, shard_samples=100)
    assert {x.name: (tmp_path / x.name).stat().st_size for x in planned} == {x.name: x.size for x in planned}
    assert max(x.size for x in planned) <= 20_480 and len(planned) > 1
    assert sorted(np.concatenate([x.rows for x in planned])) == list(range(24))


def test_the_same_command_goes_on_after_a_kill_and_leaves_the_same_files(
    tree: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, out = writing._write_shard, tmp_path / "out"

    def killed(part: object, planned: writing.Shard, *others: object) -> None:
        write(part, planned, *others)
        if planned.name == "train-000002.tar":
            raise OSError("the disk is gone")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="the disk is gone"):
        patch.setattr(writing, "_write_shard", killed)
        shard(tree, out, workers=1)
    assert not (out / INDEX).exists() and not (out / "train-000002.tar").exists()
    with pytest.raises(DataError, match="is not finished: the mmvisionllama shard command"):
        in_shards(out)
    before = (out / "train-000000.tar").stat().st_mtime_ns
    assert contents(shard(tree, out)) == contents(shards)
    assert (out / "train-000000.tar").stat().st_mtime_ns == before
    assert not (out / UNFINISHED).exists()
    assert writing.write_shards(find_images(tree), out, shard_samples=7) is None  # up to date


def test_a_folder_with_anything_else_is_refused_and_not_changed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LaunchError, match="holds other files"):
        shard(tree, tmp_path)
    assert [x.name for x in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(LaunchError, match="lies among the images"):
        shard(tree, tree / "train" / "out")


def test_other_settings_are_refused_in_a_folder_of_shards(tree: Path, shards: Path) -> None:
    with pytest.raises(LaunchError, match="seed: 0 there, 3 now"):
        shard(tree, shards, seed=3)


def test_a_disk_without_room_is_refused_before_anything_is_written(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1000))
    with pytest.raises(LaunchError, match="GB are free"):
        shard(tree, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_images_are_named_and_only_a_training_may_leave_some_out(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    bad = tree / "train" / "dog" / "dog.v1_3.JPEG"
    bad.write_bytes(bad.read_bytes()[:-200])
    with pytest.raises(
        DataError, match=r"1 images cannot be read, at most 0(.|\n)*dog/dog.v1_3.JPEG: ValueError"
    ):
        shard(tree, tmp_path / "none")
    out = shard(tree, tmp_path / "some", max_corrupt=1)
    index = json.loads((out / INDEX).read_text())["parts"]["train"]
    assert index["samples"] == 23 and index["left_out"] == {
        "dog/dog.v1_3.JPEG": "ValueError: the file is cut off"
    }
    names = [x["img_path"].rpartition("/")[2] for x in in_shards(out).data_list]
    assert len(names) == 23 and bad.name not in names
    (tree / "val" / "cat" / "cat.v1_0.JPEG").write_text("no image")
    with pytest.raises(DataError, match=r"cat.v1_0.JPEG"):
        shard(tree, tmp_path / "val", max_corrupt=5)
