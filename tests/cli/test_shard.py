"""mmvisionllama shard: from a tree to a checked data set, and one line about a mistake."""

from pathlib import Path

import pytest

from mmvisionllama.cli import check_data, shard
from tests.shards.trees import CLASSES, write_tree

TOY = "configs/toy/visionllama_tiny_digitscenes.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", side=64)


def test_what_it_writes_is_checked_as_it_says_and_its_damage_is_found(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert shard.main([str(tree), "--out", str(out), "--samples", "9"]) == 0
    told = capsys.readouterr().out
    assert "train: 24 images in 3 shards" in told and "3 classes: cat, dog, emu" in told
    options = told.partition("--cfg-options ")[2].split()
    heads = ["model.head.num_classes=3", "data_preprocessor.num_classes=3"]
    assert check_data.main([TOY, "--cfg-options", *options, *heads, "--verify"]) == 0
    assert "ShardedImages (training): 24 images of 3 classes" in capsys.readouterr().out
    assert shard.main([str(tree), "--out", str(out), "--samples", "9"]) == 0
    assert "holds these shards already" in capsys.readouterr().out
    damaged = out / "train-000001.tar"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    assert check_data.main([str(out)]) == 0
    assert check_data.main([str(out), "--verify"]) == 1
    assert "train-000001.tar has other bytes than when it was made" in capsys.readouterr().out


def test_tar_files_get_their_index(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, names = tmp_path / "out", tmp_path / "names.txt"
    shard.main([str(tree), "--out", str(out)])
    for file in (*out.glob("*.json"), *out.glob("*.safetensors")):
        file.unlink()
    names.write_text("\n".join(CLASSES))
    assert shard.main([str(out), "--index-only", "--classes", str(names)]) == 0
    assert check_data.main([str(out), "--verify"]) == 0
    assert "val: 6 images in 1 shards" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("TREE", "give either --out DIR for new shards or --index-only"),
        ("TREE --out OUT --index-only", "give either"),
        ("gone --out OUT", "gone is no folder of images"),
        ("TREE --index-only", "has no file *.tar"),
        ("TREE --out OUT --classes gone.txt", "--classes gone.txt cannot be read"),
        ("TREE --out TREE", "holds other files, and no unfinished.json"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: str, message: str, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments.replace("TREE", str(tree)).replace("OUT", str(tmp_path / "out")).split()
    assert shard.main(given) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
