"""``python -m mmvisionllama.checkpoint``: what shell scripts ask it."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmvisionllama.checkpoint.manifest import examine, manifest_of
from mmvisionllama.checkpoint.run_identity import RunRecord, write_record
from mmvisionllama.cli.checkpoint import main


def save(path: Path, step: int) -> Path:
    """Write what a training would save at a step."""
    content = {"state_dict": {"x": torch.ones(1)}, "optimizer": {}, "message_hub": {}, "meta": {"iter": step}}
    torch.save(content, path)
    manifest_of(path).write_text(examine(path).as_json())
    return path


def newest(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    status = main(["newest", *map(str, arguments)])
    return status, capsys.readouterr().out.strip()


def test_newest_prints_the_path_that_resume_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "iter_2.pth", 2)
    expected = save(tmp_path / "iter_4.pth", 4)
    assert newest(capsys, tmp_path) == (0, str(expected))


def test_newest_passes_over_a_damaged_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = save(tmp_path / "iter_2.pth", 2)
    os.truncate(save(tmp_path / "iter_4.pth", 4), 100)
    assert newest(capsys, tmp_path) == (0, str(expected))


def test_newest_prints_nothing_if_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newest(capsys, tmp_path) == (0, "")


def test_newest_looks_through_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    save(real / "iter_2.pth", 2)
    link.symlink_to(real)
    assert newest(capsys, link) == (0, str(link / "iter_2.pth"))


def test_newest_of_a_job_is_nothing_before_the_job_has_trained_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = RunRecord.drawn(takes_unnamed=True, job="11")
    expected = save(tmp_path / "iter_60.pth", 60)
    assert newest(capsys, tmp_path, "--job", "12") == (0, "")
    write_record(tmp_path, record)
    assert newest(capsys, tmp_path, "--job", "12") == (0, "")
    write_record(tmp_path, replace(record, job="12"))
    assert newest(capsys, tmp_path, "--job", "12") == (0, str(expected))


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["newest", str(tmp_path / "nothing")]) == 2
    assert "nothing is no folder" in capsys.readouterr().err


def test_it_is_a_command_of_the_package(tmp_path: Path, warm: dict[str, str]) -> None:
    expected = save(tmp_path / "iter_2.pth", 2)
    command = [warm["PYTHON"], "-m", "mmvisionllama.checkpoint", "newest", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{expected}\n"
