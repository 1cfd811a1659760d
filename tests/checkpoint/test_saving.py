"""A save that ends at any moment, by a kill or by the disk, costs no checkpoint that was there before."""

import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from mmvisionllama.checkpoint import newest_good, verify
from mmvisionllama.checkpoint.__main__ import main
from mmvisionllama.checkpoint.manifest import checkpoints_in, manifest_of
from mmvisionllama.checkpoint.saving import publish, remove_checkpoint, remove_strays, temporary_of
from mmvisionllama.errors import CheckpointError


def content(step: int, **changes: Any) -> dict[str, Any]:
    weights = {"weight": torch.full((64, 64), float(step)), "bias": torch.zeros(3)}
    return {
        "meta": {"epoch": 0, "iter": step, "versions": {"torch": "2"}},
        "state_dict": weights,
        "ema_state_dict": {"module.weight": torch.zeros(3)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(5)}}},
        "message_hub": {"runtime_info": {"grad_norm": float("inf")}},
        **changes,
    }


def save(folder: Path, step: int, **changes: Any) -> Path:
    target = folder / f"iter_{step}.pth"
    torch.save(content(step, **changes), temporary_of(target))
    return folder / publish(target).file


def in_child(work: Callable[[], None]) -> int:
    """Do something in a forked process; return its signal (negative) or status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def left_by_kills(folder: Path, copies: Path, work: Callable[[], None]) -> tuple[int, list[Path]]:
    """Do something, and copy a folder as a kill at each line of the saving code would leave it.

    Returns: The number of lines, and the copies; of lines that leave the same, one.
    """
    lines, left, last = 0, [], None

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines, last
        if not frame.f_code.co_filename.endswith(("checkpoint/saving.py", "mmvisionllama/files.py")):
            return None
        if event == "line":
            lines += 1
            there = {x: x.read_bytes() if x.is_file() else None for x in sorted(folder.rglob("*"))}
            if there != last:
                last = there
                left.append(shutil.copytree(folder, copies / str(lines)))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines, left


def flipped(path: Path, where: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two good checkpoints, of steps 1 and 2."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    return tmp_path


def test_what_is_published_verifies_and_its_manifest_describes_it(folder: Path) -> None:
    verdict = verify(folder / "iter_2.pth")
    assert verdict.problem is None
    manifest = verdict.manifest
    assert (manifest.file, manifest.step, manifest.epoch, manifest.resumable) == ("iter_2.pth", 2, 0, True)
    assert manifest.bytes == (folder / "iter_2.pth").stat().st_size
    assert manifest.versions == {"torch": "2"}
    assert newest_good(folder).path == folder / "iter_2.pth"


def test_a_kill_at_any_line_of_a_save_leaves_the_newest_checkpoint_or_the_new_one(
    tmp_path: Path,
) -> None:
    original = tmp_path / "original"
    original.mkdir()
    save(original, 1)
    lines, left = left_by_kills(original, tmp_path, lambda: save(original, 2))
    assert lines > 20
    found = set()
    for folder in left:
        chosen = newest_good(folder)
        assert chosen.path in (folder / "iter_1.pth", folder / "iter_2.pth")
        assert chosen.rejected == ()
        remove_strays(folder)
        names = {x.name for x in folder.iterdir()}
        assert names <= {f"iter_{step}.pth{suffix}" for step in (1, 2) for suffix in ("", ".json")}
        found.add(chosen.path.name)
    assert len(found) == 2


def test_a_kill_at_any_line_of_saving_a_step_again_leaves_that_step(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    save(original, 1)
    lines, left = left_by_kills(original, tmp_path, lambda: save(original, 1, extra={"best": 1.0}))
    assert lines > 20
    assert len(left) > 3
    assert [newest_good(x).path for x in left] == [x / "iter_1.pth" for x in left]


def test_a_kill_at_any_byte_of_the_file_leaves_the_checkpoints_before(folder: Path) -> None:
    draw = random.Random(0)
    torch.save(content(3), folder / "whole.bin")
    data = (folder / "whole.bin").read_bytes()

    def written(offset: int) -> None:
        temporary_of(folder / "iter_3.pth").write_bytes(data[:offset])
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(20):
        offset = draw.randrange(len(data))
        assert in_child(lambda offset=offset: written(offset)) == -signal.SIGKILL
        assert newest_good(folder).path == folder / "iter_2.pth"
        assert [x.name for x in remove_strays(folder)] == [".iter_3.pth.saving"]


def test_a_full_disk_leaves_what_was_there(folder: Path) -> None:
    import resource

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            save(folder, 2, more=torch.zeros(1000))
        except (OSError, RuntimeError):
            os._exit(7)

    before = (folder / "iter_2.pth").read_bytes()
    assert in_child(child) == 7
    assert (folder / "iter_2.pth").read_bytes() == before
    assert newest_good(folder).path == folder / "iter_2.pth"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["state_dict", "ema_state_dict", "optimizer"])
def test_a_checkpoint_that_is_not_finite_is_never_published_under_its_name(
    folder: Path, part: str, bad: float
) -> None:
    poisoned = {"a": torch.zeros(2), "b": {"deep": torch.tensor([0.0, bad])}}
    path = save(folder, 3, **{part: poisoned})
    assert path.name == "nonfinite_iter_3.pth"
    assert not (folder / "iter_3.pth").exists()
    verdict = verify(path)
    assert verdict.problem == f"NaN or infinity in {part}.b.deep"
    chosen = newest_good(folder)
    assert chosen.path == folder / "iter_2.pth"
    assert [x.path for x in chosen.rejected] == [path]


def test_an_infinite_value_in_the_logged_history_is_no_reason_to_reject(folder: Path) -> None:
    assert verify(folder / "iter_2.pth").problem is None


def damage(path: Path, kind: str) -> None:
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "flipped":
        flipped(path, 0.5)
    elif kind == "poisoned":
        torch.save(content(2, state_dict={"weight": torch.tensor([float("nan")])}), path)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "manifest":
        manifest_of(path).write_text("{")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", r"it has \d+ bytes instead of the \d+"),
        ("flipped", "another sha256"),
        ("poisoned", "instead of|another sha256"),
        ("empty", "it has 0 bytes"),
        ("manifest", r"its manifest iter_2\.pth\.json is damaged"),
    ],
)
def test_a_damaged_newest_checkpoint_is_rejected_with_the_reason_and_the_one_before_is_taken(
    folder: Path, kind: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "iter_2.pth", kind)
    chosen = newest_good(folder)
    assert chosen.path == folder / "iter_1.pth"
    (rejected,) = chosen.rejected
    assert re.search(reason, rejected.problem)
    assert main(["verify", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert f"iter_2.pth: BAD, {rejected.problem}" in printed
    assert f"--resume would start from {folder / 'iter_1.pth'}" in printed
    assert main(["verify", str(folder / "iter_2.pth")]) == 1
    assert main(["verify", str(folder / "iter_1.pth")]) == 0


@pytest.mark.parametrize("kind", ["truncated", "flipped", "poisoned", "empty"])
def test_damage_is_found_without_a_manifest_too(folder: Path, kind: str) -> None:
    manifest_of(folder / "iter_2.pth").unlink()
    assert verify(folder / "iter_2.pth").note == "without a manifest, but whole"
    damage(folder / "iter_2.pth", kind)
    assert verify(folder / "iter_2.pth").problem


def test_a_copied_folder_has_the_newest_that_the_original_had(folder: Path) -> None:
    save(folder, 1)
    assert newest_good(folder).path == folder / "iter_2.pth"
    copied = folder / "copied"
    copied.mkdir()
    for path in sorted(folder.glob("*.pth*"), reverse=True):
        shutil.copyfile(path, copied / path.name)
    assert newest_good(copied).path == copied / "iter_2.pth"


def test_weights_alone_are_good_but_nothing_to_resume_from(tmp_path: Path) -> None:
    target = tmp_path / "best.pth"
    torch.save({"state_dict": {"w": torch.ones(2)}}, temporary_of(target))
    publish(target)
    assert verify(target).problem is None
    assert newest_good(tmp_path).path is None


def test_what_would_run_code_is_not_published(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="loading it could run code"):
        save(folder, 3, message_hub=Path("a"))
    assert checkpoints_in(folder) == [folder / "iter_1.pth", folder / "iter_2.pth"]


def test_a_folder_without_checkpoints_is_an_error_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert "holds no checkpoint" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "no.pth")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_removing_a_checkpoint_takes_its_manifest_along(folder: Path) -> None:
    remove_checkpoint(folder / "iter_1.pth")
    assert sorted(x.name for x in folder.iterdir()) == ["iter_2.pth", "iter_2.pth.json"]
