"""Temporary files are new ones, and a checksum follows the bytes."""

import os
import time
from pathlib import Path

import pytest

from mmvisionllama.files import atomic_path, make_new, sha256_of


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "victim"
    path.parent.mkdir()
    path.write_text("mine")
    return path


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path: Path, victim: Path) -> None:
    target = tmp_path / "summary.json"
    planted = tmp_path / f".summary.{os.getpid()}.json"
    planted.symlink_to(victim)
    with atomic_path(target) as temporary:
        assert temporary == planted
        temporary.write_text("new")
    assert (target.read_text(), victim.read_text()) == ("new", "mine")
    assert not target.is_symlink()


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    make_new(tmp_path / "ours")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_in_the_place_of_a_temporary_file_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match=r"irectory|permitted"):
        make_new(tmp_path / "a")


@pytest.mark.parametrize("age", [0, 3600])
def test_a_checksum_is_that_of_the_present_bytes(tmp_path: Path, age: int) -> None:
    path, found = tmp_path / "a", set()
    for content in (b"1", b"2", b"3"):
        path.write_bytes(content)
        os.utime(path, ns=(time.time_ns() - age * 10**9,) * 2)
        found |= {sha256_of(path), sha256_of(path)}
    assert len(found) == 3
