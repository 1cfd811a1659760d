"""Samples of shards are those of folders, read anywhere; damage and mistakes have a reason and a way out."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import pytest
from mmengine import fileio
from safetensors.numpy import load_file, save_file

from mmvisionllama.datasets.image_files import read_header
from mmvisionllama.datasets.shard_files import ShardBackend, ShardPath, is_image_there
from mmvisionllama.datasets.shard_index import INDEX
from mmvisionllama.errors import ArgumentError, DataError
from mmvisionllama.files import sha256_of
from tests.shards.trees import CLASSES, in_folders, in_shards

PIPELINE = [
    dict(type="mmvisionllama.LoadImageFromFile"),
    dict(type="mmpretrain.RandomResizedCrop", scale=8),
    dict(type="mmpretrain.PackInputs"),
]


def read_all(dataset: Any) -> list[bytes]:
    return [fileio.get(dataset.get_data_info(i)["img_path"]) for i in range(len(dataset))]


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize(
    "options", [{}, dict(indices=3), dict(indices=-2), dict(indices=[5, 1, 3])], ids=repr
)
def test_samples_labels_and_bytes_are_those_of_the_folders_in_their_order(
    tree: Path,
    shards: Path,
    part: str,
    options: dict,
) -> None:
    one, other = in_folders(tree, part, **options), in_shards(shards, part, **options)
    assert read_all(other) == read_all(one)
    assert other.get_gt_labels().tolist() == one.get_gt_labels().tolist()
    assert other.get_cat_ids(1) == one.get_cat_ids(1) and other.metainfo == one.metainfo
    names = [Path(x.get_data_info(1)["img_path"]).name for x in (one, other)]
    assert names[0] == names[1]
    assert other.get_data_info(1)["sample_idx"] == 1


def test_a_config_of_folders_needs_another_type_and_root_alone(tree: Path, shards: Path) -> None:
    cfg = dict(data_root=str(tree), data_prefix="val", pipeline=PIPELINE)
    one, other = (
        kind(**{**cfg, "data_root": root})
        for kind, root in ((type(in_folders(tree)), str(tree)), (type(in_shards(shards)), str(shards)))
    )
    for i in range(len(one)):
        np.random.seed(i)
        first = one[i]
        np.random.seed(i)
        second = other[i]
        assert first["inputs"].equal(second["inputs"])
        assert first["data_samples"].gt_label.equal(second["data_samples"].gt_label)


def test_shards_are_read_in_forked_processes_and_by_copies_that_were_sent(shards: Path) -> None:
    dataset = in_shards(shards)
    expected = read_all(dataset)  # descriptors are open when the process forks
    with get_context("fork").Pool(1) as pool:
        assert pool.map(read_all, [dataset]) == [expected]
    assert read_all(pickle.loads(pickle.dumps(dataset))) == expected


def test_headers_pictures_and_tests_of_existence_take_paths_in_shards(shards: Path) -> None:
    path = in_shards(shards).get_data_info(0)["img_path"]
    assert read_header(path).size == (16, 16) and mmcv.imread(path).shape == (16, 16, 3)
    assert is_image_there(path) and fileio.exists(path)
    assert not is_image_there("shard://gone.tar@0+5/a.jpg") and not is_image_there("shard://x")


def test_few_shards_stay_open(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmvisionllama.datasets.shard_files._MOST_OPEN", 2)
    before, backend = len(os.listdir("/proc/self/fd")), ShardBackend()
    content = [backend.get(x["img_path"]) for x in in_shards(shards).data_list]
    assert content == read_all(in_shards(shards))
    assert len(os.listdir("/proc/self/fd")) <= before + 2 + 4  # ours, and those of `fileio`


def test_a_path_survives_names_of_any_kind() -> None:
    for name in ("a/b.jpg", "x.tar@1+2/y.png", "http://z.jpg", "ü\n.jpg", ""):
        path = str(ShardPath("/data/train-0.tar", 5, 7, name))
        assert path.count("://") == 1
        found = ShardPath.parse(path)
        assert (found.shard, found.offset, found.size) == ("/data/train-0.tar", 5, 7)
    with pytest.raises(DataError, match="names no image in a shard"):
        ShardPath.parse("shard:///data/train-0.tar@-5+7/x")


# --- mistakes and damage -----------------------------------------------------------------------------------


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def change_index(folder: Path, change: Callable[[dict], Any]) -> None:
    content = json.loads((folder / INDEX).read_text())
    change(content)
    (folder / INDEX).write_text(json.dumps(content))


def change_table(folder: Path, **columns: Any) -> None:
    """Forge the table together with its SHA-256."""
    path = folder / "train.safetensors"
    save_file({**load_file(path), **columns}, path)
    facts = dict(name=path.name, size=path.stat().st_size, sha256=sha256_of(path))
    change_index(folder, lambda x: x["parts"]["train"].update(table=facts))


def at(column: str, value: int) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        values = load_file(folder / "train.safetensors")[column]
        values[3] = value
        change_table(folder, **{column: values})

    return forge


def in_index(*keys: Any, value: Any) -> Callable[[Path], None]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return lambda folder: change_index(folder, change)


SHARDS, TABLE = ("parts", "train", "shards"), ("parts", "train", "table")
FORGED = {
    "offset beyond the file": (at("offset", 10**9), "begins or ends outside of its shard"),
    "negative offset": (at("offset", -512), "begins or ends outside of its shard"),
    "huge offset": (at("offset", 2**63 - 1), "begins or ends outside of its shard"),
    "negative size": (at("size", -1), "begins or ends outside of its shard"),
    "huge size": (at("size", 2**63 - 1), "begins or ends outside of its shard"),
    "unknown shard": (at("shard", 99), "names a shard beyond the 4"),
    "negative shard": (at("shard", -1), "names a shard beyond the 4"),
    "unknown label": (at("label", 7), "labels go from 0 to 7, of 3 classes"),
    "one label missing": (at("label", -1), "some samples have a label and some have none"),
    "names that end early": (at("name_end", -4), "names end before they begin"),
    "names that never end": (at("name_end", 10**6), "names end before they begin"),
    "columns of another kind": (lambda x: change_table(x, shard=np.zeros(24)), "shard is float64"),
    "columns of another length": (lambda x: change_table(x, size=np.ones(3, np.int64)), "24 rows each"),
    "a column too many": (lambda x: change_table(x, more=np.ones(3, np.int64)), "is damaged: 'more'"),
    "table without SHA-256": (in_index(*TABLE, "sha256", value="0"), "has no SHA-256"),
    "table changed": (
        lambda x: at("label", 0)(x) or in_index(*TABLE, "sha256", value="0" * 64)(x),
        "other bytes",
    ),
    "table elsewhere": (
        in_index(*TABLE, "name", value="../x.safetensors"),
        "no name of a file in the folder",
    ),
    "shard elsewhere": (in_index(*SHARDS, 0, "name", value="/etc/x.tar"), "no name of a file in the folder"),
    "shard that is no tar file": (in_index(*SHARDS, 0, "name", value="passwd"), "does not end in .tar"),
    "size of a shard": (in_index(*SHARDS, 0, "size", value=10**30), "no number of things or bytes"),
    "no shards": (in_index(*SHARDS, value=None), "is damaged"),
    "no parts": (in_index("parts", value={}), "parts is no object with a part"),
    "classes": (in_index("classes", value=[1]), "classes is no list of names"),
    "samples": (in_index("parts", "train", "samples", value="24"), "no number of things or bytes"),
    "newer format": (in_index("format", value=2), "has format 2, mmvisionllama .* reads 1: install"),
    "odd format": (in_index("format", value="1"), "format '1' is none"),
    "no JSON": (lambda x: (x / INDEX).write_text("{"), "is damaged"),
    "a list": (lambda x: (x / INDEX).write_text("[]"), "is damaged"),
    "deep": (lambda x: (x / INDEX).write_text("[" * 10**5), "nested too deeply"),
    "missing shard": (lambda x: (x / "train-000001.tar").unlink(), "1 of 4 shards are not.*is missing"),
    "cut off": (lambda x: os.truncate(x / "train-000001.tar", 2048), "has 2,048 bytes instead of"),
    "missing table": (lambda x: (x / "train.safetensors").unlink(), "train.safetensors is missing"),
    "shard is a pipe": (
        lambda x: (x / "train-000001.tar").unlink() or os.mkfifo(x / "train-000001.tar"),
        "is a pipe",
    ),
}


@pytest.mark.parametrize(("forge", "message"), FORGED.values(), ids=FORGED)
def test_a_damaged_or_forged_index_is_refused_with_a_reason(
    forge: Callable, message: str, copy: Path
) -> None:
    forge(copy)
    with pytest.raises(DataError, match=message) as caught:
        in_shards(copy)
    assert str(copy) in str(caught.value)


def test_a_shard_that_shrinks_during_a_training_is_an_error_of_the_image(copy: Path) -> None:
    dataset = in_shards(copy)
    last = max(dataset.data_list, key=lambda x: ShardPath.parse(x["img_path"]).offset)["img_path"]
    os.truncate(ShardPath.parse(last).shard, 1024)
    with pytest.raises(DataError, match="is cut off"):
        fileio.get(last)


MISTAKES = {
    "class folders": (lambda x: (x / "train" / "cat").mkdir(parents=True), r"mmvisionllama shard \S+ --out"),
    "tar files": (lambda x: (x / "a-0.tar").touch(), "mmvisionllama shard --index-only"),
    "compressed": (lambda x: (x / "a-0.tar.gz").touch(), "compressed"),
    "empty": (lambda x: None, "holds no shards"),
    "nothing": (lambda x: x.rmdir(), "does not exist"),
}


@pytest.mark.parametrize(("make", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_folder_without_index_is_told_what_it_is(make: Callable, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    make(folder)
    with pytest.raises(DataError, match=message):
        in_shards(folder)


def test_wrong_parts_classes_and_annotations_are_refused(shards: Path) -> None:
    with pytest.raises(DataError, match=r"no part 'trian'; set split to one of 'train', 'val'"):
        in_shards(shards, "trian")
    with pytest.raises(DataError, match="several parts; set split to one of 'train', 'val'"):
        in_shards(shards, "")
    with pytest.raises(DataError, match="in another order"):
        in_shards(shards, metainfo=dict(classes=CLASSES[::-1]))
    with pytest.raises(DataError, match=r"has 3 classes .*, metainfo.classes 1"):
        in_shards(shards, metainfo=dict(classes=("a",)))
    assert in_shards(shards, metainfo=dict(classes=("a", "b", "c"))).CLASSES == ("a", "b", "c")
    with pytest.raises(ArgumentError, match="ann_file"):
        in_shards(shards, ann_file="meta/train.txt")


def test_labels_can_be_left_out(shards: Path) -> None:
    assert "gt_label" not in in_shards(shards, with_label=False).get_data_info(0)
