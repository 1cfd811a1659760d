"""Which checkpoint a run goes on from; verifying is in test_saving.py, sharded ones in test_sharded.py."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmvisionllama.checkpoint.manifest import checkpoints_of, manifest_of, newest_good
from mmvisionllama.checkpoint.run_identity import POINTER, RECORD, RunRecord, write_record
from mmvisionllama.checkpoint.saving import publish, temporary_of
from tests.checkpoint.test_saving import content, save


@pytest.fixture
def elsewhere(tmp_path: Path) -> tuple[Path, Path]:
    """A work directory whose CheckpointHook has an ``out_dir``, and the checkpoint there."""
    work_dir, out_dir = tmp_path / "run", tmp_path / "saved" / "run"
    work_dir.mkdir()
    out_dir.mkdir(parents=True)
    saved = save(out_dir, 1)
    (work_dir / POINTER).write_text(str(saved))
    return work_dir, saved


def publish_as(path: Path, meta: dict) -> Path:
    torch.save(content(4, meta=meta), temporary_of(path))
    publish(path)
    return path


def test_checkpoints_in_an_out_dir_are_found_by_the_pointer(elsewhere: tuple[Path, Path]) -> None:
    work_dir, saved = elsewhere
    assert newest_good(work_dir).path == saved
    newer = save(work_dir, 2)  # as an earlier run without an out_dir had left
    assert newest_good(work_dir).path == newer
    assert save(saved.parent, 3) == newest_good(work_dir).path


def test_a_copied_work_directory_does_not_go_on_from_the_original(tmp_path: Path) -> None:
    original, copied = tmp_path / "original", tmp_path / "copied"
    original.mkdir()
    (original / POINTER).write_text(str(save(original, 1)))
    shutil.copytree(original, copied)
    save(original, 2)
    assert newest_good(copied).path == copied / "iter_1.pth"
    (copied / "iter_1.pth").unlink()
    assert newest_good(copied).path is None


def test_a_work_directory_that_was_moved_has_its_checkpoints_once(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    for told in (str(path), "/gone/iter_1.pth"):
        (tmp_path / POINTER).write_text(told)
        assert checkpoints_of(tmp_path) == [path]


def test_a_link_to_a_work_directory_is_as_good_as_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    save(tmp_path / "real", 1)
    (tmp_path / "link").symlink_to("real")
    assert newest_good(tmp_path / "link").path == tmp_path / "link" / "iter_1.pth"


def test_the_newest_is_that_after_most_steps_whatever_clocks_say(tmp_path: Path) -> None:
    for step in (10, 9, 2):  # saved in this order
        path = save(tmp_path, step)
        facts = json.loads(manifest_of(path).read_text())
        manifest_of(path).write_text(json.dumps({**facts, "saved_ns": facts["saved_ns"] - step * 10**15}))
        os.utime(path, (10**9 - step, 10**9 - step))
    assert newest_good(tmp_path).path == tmp_path / "iter_10.pth"
    manifest_of(tmp_path / "iter_10.pth").unlink()
    assert newest_good(tmp_path).path == tmp_path / "iter_10.pth"


def test_of_two_after_one_step_the_one_of_the_later_epoch_is_newer(tmp_path: Path) -> None:
    inside = save(tmp_path, 4, meta={"iter": 4, "epoch": 0})
    ended = publish_as(tmp_path / "epoch_1.pth", {"iter": 4, "epoch": 1})
    assert checkpoints_of(tmp_path) == [ended, inside]


def test_a_run_goes_on_from_its_own_checkpoints_alone(tmp_path: Path) -> None:
    mine, other = RunRecord.drawn(), RunRecord.drawn()
    old = save(tmp_path, 60, meta={"iter": 60, "run_id": other.run_id})
    unnamed = save(tmp_path, 50)
    assert newest_good(tmp_path).path == old  # nothing says whose folder this is
    write_record(tmp_path, mine)
    assert newest_good(tmp_path).path is None
    own = save(tmp_path, 2, meta={"iter": 2, "run_id": mine.run_id})
    assert newest_good(tmp_path).path == own
    write_record(tmp_path, replace(mine, takes_unnamed=True))  # it began before runs had ids
    assert newest_good(tmp_path).path == unnamed


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run_id": 3}', "\udcff", "[" * 100_000])
def test_a_damaged_record_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text, errors="surrogateescape")
    assert newest_good(tmp_path).path is None
    path = save(tmp_path, 1, meta={"iter": 1, "run_id": RunRecord.drawn().run_id})
    assert newest_good(tmp_path).path == path


def test_an_out_dir_is_found_without_the_pointer(tmp_path: Path) -> None:
    work_dir, out_dir = tmp_path / "run", tmp_path / "saved"
    (out_dir / "run").mkdir(parents=True)
    work_dir.mkdir()
    saved = save(out_dir / "run", 1)
    assert newest_good(work_dir).path is None
    assert newest_good(work_dir, out_dir).path == saved  # as the config says
    write_record(work_dir, replace(RunRecord.drawn(), takes_unnamed=True, out_dir=str(out_dir / "run")))
    assert newest_good(work_dir).path == saved  # as the run has noted


@pytest.mark.parametrize("damage", ["gone", "damaged", "older"])
def test_a_manifest_without_an_id_is_read_as_before(tmp_path: Path, damage: str) -> None:
    path = save(tmp_path, 1, meta={"iter": 1, "run_id": RunRecord.drawn().run_id})
    facts = json.loads(manifest_of(path).read_text())
    if damage == "gone":
        manifest_of(path).unlink()
    elif damage == "older":
        del facts["run_id"]
        manifest_of(path).write_text(json.dumps(facts))
    else:
        manifest_of(path).write_text("{")
    choice = newest_good(tmp_path)
    assert (choice.path is None) == (damage == "damaged")
