"""Bytes that are not those that were saved are refused by every reader; whatever lies there is named."""

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmvisionllama.checkpoint import newest_good, read_checkpoint, verify
from mmvisionllama.checkpoint.as_saved import manifest_of
from mmvisionllama.checkpoint.manifest import INFINITE
from mmvisionllama.errors import CheckpointError
from mmvisionllama.training.checkpoint_content import infinite_buffers
from tests.checkpoint.test_safety import CLASSIFIER, pretrained
from tests.checkpoint.test_saving import content, flipped, save
from tests.tools.commands import TOY, main, run


@pytest.mark.parametrize(
    "enter",
    [
        lambda path: run("train", TOY, "--resume", path),
        lambda path: run("train", TOY, load_from=path),
        lambda path: run("train", TOY, **pretrained(path)),
        lambda path: run("test", TOY, path),
        lambda path: main("resolution_sweep", CLASSIFIER, path),
        lambda path: main("convert_checkpoint", path, "ours.safetensors"),
        lambda path: main("sample", "configs/toy/dit_tiny_digits.py", path, "--out", "samples"),
    ],
    ids=["--resume", "load_from", "init_cfg", "test", "sweep", "convert", "sample"],
)
def test_every_command_refuses_bytes_that_were_not_saved(
    enter: Callable[[str], int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 1)
    flipped(path, 0.5)
    assert enter(str(path)) == 2
    error = capsys.readouterr().err
    assert "its bytes are not those that were saved" in error
    assert len(error.splitlines()) == 1
    assert sorted(x.name for x in tmp_path.iterdir()) == ["iter_1.pth", "iter_1.pth.json"]


def test_a_change_of_ones_own_is_read_as_the_error_says(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(CheckpointError, match=f"if the change is your own, remove {manifest_of(path)}"):
        read_checkpoint(path)
    manifest_of(path).unlink()
    assert read_checkpoint(path) == {"state_dict": {}}


def folder(path: Path) -> None:
    path.mkdir()


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def listening(path: Path) -> None:
    os.chdir(path.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


SPECIAL = {
    "a folder": folder,
    "a link that leads to no file": link_to_nothing,
    "a link that leads to no file ": link_to_itself,
    "a socket": listening,
    "a pipe": pipe,
    "a device": device,
}


@pytest.mark.parametrize("what", ["iter_2.pth", "iter_2.pth.json"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_named_and_the_checkpoint_before_is_taken(
    tmp_path: Path, kind: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    (tmp_path / what).unlink()
    SPECIAL[kind](tmp_path / what)
    choice = newest_good(tmp_path)
    assert choice.path == tmp_path / "iter_1.pth"
    assert [x.path for x in choice.rejected] == [path]
    assert f"it is {kind.strip()}" in choice.rejected[0].problem
    with pytest.raises(CheckpointError, match=kind.strip()):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bytes", "12"),
        ("bytes", -1),
        ("bytes", 1e400),
        ("bytes", True),
        ("sha256", "../.."),
        ("step", "2"),
        ("step", float("nan")),
        ("non_finite", "weight"),
        ("non_finite", None),
        ("resumable", 1),
        ("saved_ns", None),
        ("versions", ["torch"]),
        ("versions", {"torch": {}}),
    ],
)
def test_a_value_of_another_kind_in_a_manifest_is_named(tmp_path: Path, key: str, value: object) -> None:
    path = save(tmp_path, 1)
    file = manifest_of(path)
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    problem = verify(path).problem
    assert problem.startswith(f"its manifest iter_1.pth.json is damaged: {key} is ")


@pytest.mark.parametrize("text", ["", "[" * 100_000, "1" * 5000, "[]", "null", "\udcff", "{}"])
def test_a_manifest_that_is_none_is_a_reason(tmp_path: Path, text: str) -> None:
    path = save(tmp_path, 1)
    manifest_of(path).write_bytes(text.encode(errors="surrogateescape"))
    assert verify(path).problem.startswith("its manifest iter_1.pth.json is damaged: ")


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a/b", "..", ""])
def test_a_manifest_names_files_inside_of_its_folder_alone(tmp_path: Path, name: str) -> None:
    from tests.checkpoint.test_sharded import save as save_sharded

    path = save_sharded(tmp_path, 1)
    file = path / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["parts"][name] = [1, "0" * 64]
    file.write_text(json.dumps(manifest))
    assert "damaged: parts is" in verify(path).problem


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (dict(meta=[1]), "its 'meta' is a list"),
        (dict(meta=torch.zeros(2)), "its 'meta' is a Tensor"),
        (dict(optimizer=[1]), "its optimizer is a list"),
        (dict(state_dict=3), "its state_dict is a int"),
        (dict(meta={"iter": "7", "epoch": 0}), "its iter is '7'"),
        (dict(meta={"iter": -7}), "its iter is -7"),
        (dict(state_dict={"a": torch.zeros(1, device="meta")}), "state_dict.a cannot be looked at"),
    ],
)
def test_content_of_another_kind_is_a_reason(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = tmp_path / "iter_1.pth"
    torch.save(content(1, **change), path)
    assert problem in verify(path).problem


def test_a_dict_that_holds_itself_is_a_reason(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    torch.save(content(1, optimizer=endless), tmp_path / "iter_1.pth")
    assert "nested too deeply" in verify(tmp_path / "iter_1.pth").problem


def test_a_tensor_that_repeats_one_value_without_end_is_looked_at_in_no_time(tmp_path: Path) -> None:
    huge = torch.zeros(1).expand(1 << 40)
    torch.save(content(1, state_dict={"a": huge}), tmp_path / "iter_1.pth")
    assert verify(tmp_path / "iter_1.pth").problem is None


class Masked(nn.Module):
    """A model with an infinite mask among its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.register_buffer("unsaved", torch.tensor([torch.inf]), persistent=False)


def test_infinity_by_design_is_told_from_a_weight_that_overflowed() -> None:
    model = Masked()
    model.norm.running_var.fill_(torch.inf)
    assert infinite_buffers(nn.Sequential(model)) == ["0.mask"]


@pytest.mark.parametrize("part", ["state_dict", "ema_state_dict"])
def test_a_checkpoint_with_infinity_by_design_is_good_and_one_with_nan_in_that_place_is_not(
    tmp_path: Path, part: str
) -> None:
    meta = {"epoch": 0, "iter": 1, INFINITE: ["mask"]}
    prefix = "module." if part == "ema_state_dict" else ""
    for value, problem in ((-torch.inf, None), (torch.nan, f"NaN or infinity in {part}.{prefix}mask")):
        torch.save(
            content(1, meta=meta, **{part: {f"{prefix}mask": torch.tensor([value])}}), tmp_path / "a.pth"
        )
        assert verify(tmp_path / "a.pth").problem == problem


def test_a_folder_that_cannot_be_flushed_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, refused = os.fsync, []

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refused.append(descriptor)
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert verify(save(tmp_path, 1)).problem is None
    assert refused


def test_a_disk_that_fails_to_flush_a_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"):
        save(tmp_path, 1)


def test_a_copy_without_its_manifest_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    copied = shutil.copy(path, tmp_path / "copy.pth")
    assert verify(copied).note == "without a manifest, but whole"
