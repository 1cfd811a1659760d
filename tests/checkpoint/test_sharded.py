"""A folder of shards is a checkpoint like any other: verified, refused, merged, and never half there."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING, Metadata

from mmvisionllama.checkpoint import newest_good, read_checkpoint, verify
from mmvisionllama.checkpoint.__main__ import main
from mmvisionllama.checkpoint.manifest import examine_sharded
from mmvisionllama.checkpoint.saving import (
    merge,
    publish_sharded,
    remove_checkpoint,
    remove_strays,
    temporary_of,
)
from mmvisionllama.checkpoint.sharded import COMMON, METADATA, files_in, with_tensors, write_parts
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import sha256_of
from tests.checkpoint.test_saving import content, flipped, left_by_kills

FILES = (COMMON, METADATA, "__0_0.distcp", "manifest.json")


def written(folder: Path, step: int, value: float = 1.0) -> Path:
    """Write the shards of one process, of all weights, averages and moments; nothing vouches for them yet."""
    whole = content(step, ema_state_dict={"module.weight": torch.full((64, 64), value)})
    parts = {}

    def take(name: str, x: torch.Tensor) -> torch.Tensor:
        parts[name] = x
        return torch.empty(0)

    folder.mkdir(parents=True)
    torch.save(with_tensors(whole, take), folder / COMMON)
    write_parts(folder, parts, None)
    return folder


def save(folder: Path, step: int, value: float = 1.0) -> Path:
    target = folder / f"iter_{step}.sharded"
    temporary = written(temporary_of(target), step, value)
    return folder / publish_sharded(target, examine_sharded(temporary)).file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two good checkpoints, of steps 1 and 2."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    return tmp_path


def test_what_is_published_verifies_and_its_manifest_describes_every_file(folder: Path) -> None:
    path = folder / "iter_2.sharded"
    verdict = verify(path)
    assert verdict.problem is None
    assert (verdict.manifest.step, verdict.manifest.resumable) == (2, True)
    assert sorted(verdict.manifest.parts) == sorted(x for x in FILES if x != "manifest.json")
    assert verdict.manifest.bytes == sum(x.stat().st_size for x in files_in(path))
    assert newest_good(folder).path == path


def test_it_is_read_as_an_ordinary_checkpoint_is(folder: Path) -> None:
    found, expected = read_checkpoint(folder / "iter_2.sharded"), content(2)
    torch.testing.assert_close(found["state_dict"], expected["state_dict"], rtol=0, atol=0)
    torch.testing.assert_close(found["optimizer"], expected["optimizer"], rtol=0, atol=0)
    assert found["meta"] == expected["meta"]


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 10)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage", [lambda x: flipped(x, 0.5), truncated, Path.unlink], ids=["flip", "cut", "no"]
)
def test_a_damaged_file_is_named_and_the_older_checkpoint_taken(
    folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    path = folder / "iter_2.sharded"
    damage(path / name)
    problem = verify(path).problem
    assert problem
    assert name.removesuffix(".json") in problem
    choice = newest_good(folder)
    assert choice.path == folder / "iter_1.sharded"
    assert [x.path for x in choice.rejected] == [path]
    assert main(["verify", str(path)]) == main(["verify", str(folder)]) == 1


def test_a_checkpoint_that_is_not_finite_appears_under_another_name(folder: Path) -> None:
    assert save(folder, 3, value=float("nan")).name == "nonfinite_iter_3.sharded"
    verdict = verify(folder / "nonfinite_iter_3.sharded")
    assert verdict.problem == "NaN or infinity in ema_state_dict/module.weight"
    assert newest_good(folder).path == folder / "iter_2.sharded"


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("name", [METADATA, COMMON])
def test_code_in_it_is_refused_and_not_run(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 1)
    (path / name).write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(CheckpointError, match=f"not used: {name} has 35 bytes"):
        read_checkpoint(path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["parts"][name] = [
        (path / name).stat().st_size,
        sha256_of(path / name),
    ]  # as whoever did it would
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="mkdir"):
        read_checkpoint(path)
    assert not (tmp_path / "evil").exists()


def test_what_python_3_11_2_saves_is_read_and_no_other_attribute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saves a member of an enumeration as an attribute of its class."""

    def save_as_attribute_of(owner: object, name: str) -> None:
        monkeypatch.setattr(_MEM_FORMAT_ENCODING, "__reduce_ex__", lambda *_: (getattr, (owner, name)))

    save_as_attribute_of(_MEM_FORMAT_ENCODING, "TORCH_CONTIGUOUS_FORMAT")
    path = save(tmp_path, 1)
    assert b"getattr" in (path / METADATA).read_bytes()
    assert verify(path).problem is None
    others = [(_MEM_FORMAT_ENCODING, "mro"), (Metadata, "__init__"), (torch.Size, "count")]
    for step, (owner, name) in enumerate(others, 2):
        save_as_attribute_of(owner, name)
        with pytest.raises(CheckpointError, match=rf"it holds getattr\(.*'{name}'\), and loading that"):
            save(tmp_path, step)


@pytest.mark.parametrize("again", [False, True])
def test_a_kill_at_any_line_leaves_the_checkpoint_before_or_the_new_one(tmp_path: Path, again: bool) -> None:
    step = 1 if again else 2
    old = save(tmp_path, 1)
    new = written(tmp_path / "new", step, value=2.0)
    manifest = examine_sharded(new)
    original = tmp_path / "original"
    target = original / f"iter_{step}.sharded"
    shutil.copytree(old, original / old.name)
    shutil.copytree(new, temporary_of(target))
    lines, left = left_by_kills(original, tmp_path, lambda: publish_sharded(target, manifest))
    assert lines > 20
    assert len(left) > 3
    for folder in left:
        choice = newest_good(folder)
        assert choice.path is not None
        assert choice.rejected == ()
        remove_strays(folder)
        names = {x.name for x in folder.iterdir()}
        assert {"iter_1.sharded"} <= names <= {"iter_1.sharded", "iter_2.sharded"}
        assert newest_good(folder).path is not None
    averages = read_checkpoint(target)["ema_state_dict"]["module.weight"]
    assert bool((averages == 2).all())


def test_removing_leaves_nothing(folder: Path) -> None:
    remove_checkpoint(folder / "iter_1.sharded")
    temporary_of(folder / "iter_3.sharded").mkdir()
    assert [x.name for x in remove_strays(folder)] == [".iter_3.sharded.saving"]
    assert [x.name for x in folder.iterdir()] == ["iter_2.sharded"]


def test_merging_gives_one_ordinary_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder / "iter_2.sharded", folder / "out" / "whole.pth"
    assert main(["merge", str(source), str(out)]) == 0
    assert "step 2" in capsys.readouterr().out
    verdict = verify(out)
    assert verdict.problem is None
    assert verdict.manifest.resumable
    one, other = read_checkpoint(source), read_checkpoint(out)
    torch.testing.assert_close(one["state_dict"], other["state_dict"], rtol=0, atol=0)
    assert one.keys() == other.keys()


def test_what_cannot_be_merged_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    source, out = folder / "iter_2.sharded", tmp_path / "out.pth"
    with pytest.raises(CheckpointError, match=r"give the name of a \.pth file"):
        merge(source, tmp_path / "out.pt")
    flipped(source / "__0_0.distcp", 0.5)
    with pytest.raises(CheckpointError, match=r"__0_0\.distcp's bytes are not those that were saved"):
        merge(source, out)
    assert main(["merge", str(source), str(out)]) == 2
    assert not out.exists()
