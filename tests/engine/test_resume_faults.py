"""Trainings that are killed while they save, or find damaged checkpoints, end as if nothing had happened."""

import os
import random
import re
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from mmvisionllama.checkpoint import CheckpointError, newest_good, verify
from mmvisionllama.checkpoint.saving import POINTER
from mmvisionllama.engine import ResumableRunner
from tests.engine.poisoning import Poison
from tests.engine.resuming import differences, left_by, training

SAVING = ("safe_checkpoint.py", "checkpoint/saving.py", "mmvisionllama/files.py", "local_backend.py")
KILLS = 20
EVERY = dict(every=2, max_iters=30)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runner = training(tmp_path_factory.mktemp("undisturbed"), **EVERY)
    runner.train()
    return left_by(runner)


def log_of(runner: ResumableRunner) -> str:
    return Path(runner.log_dir, f"{runner.timestamp}.log").read_text()


def in_child(work: Callable[[], None], output: Path) -> int:
    """Do something in a forked process; return its signal (negative) or status."""
    child = os.fork()
    if child == 0:
        status = 1
        descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        try:
            work()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_after(lines: int, work: Callable[[], None]) -> Callable[[], None]:
    """Return ``work``, but with a SIGKILL after so many lines of the code that saves."""
    left = lines

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(SAVING):
            return None
        left -= event == "line"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def traced() -> None:
        sys.settrace(trace)
        work()

    return traced


def test_a_training_that_is_killed_again_and_again_while_saving_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """The kills come at drawn lines of the saving code, up to the third save after a start."""
    draw, work_dir, kills, behind = random.Random(0), tmp_path / "run", 0, 0
    go_on = lambda: training(work_dir, resume=True, **EVERY).train()  # noqa: E731
    while in_child(killed_after(draw.randrange(30, 250), go_on), tmp_path / "output.txt") == -signal.SIGKILL:
        kills += 1
        chosen = newest_good(work_dir)
        assert chosen.rejected == ()
        if chosen.path is not None:
            step = verify(chosen.path).manifest.step
            assert step >= behind
            behind = step
        if kills == KILLS:
            break
    assert kills >= 10
    last = training(work_dir, resume=True, **EVERY)
    last.train()
    assert differences(undisturbed, left_by(last)) == []
    assert [x.name for x in work_dir.glob(".*")] == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "poisoned", "gone", "both"])
def test_a_damaged_newest_checkpoint_costs_one_interval_and_the_log_says_why(
    tmp_path: Path, undisturbed: dict[str, Any], damage: str
) -> None:
    first = training(tmp_path, every=2, max_iters=30, ask=dict(train=9, crash=True))
    with pytest.raises(Exception):  # noqa: B017
        first.train()
    newest, second = tmp_path / "iter_8.pth", tmp_path / "iter_6.pth"
    data = newest.read_bytes()
    if damage == "truncated":
        newest.write_bytes(data[:-100])
    elif damage == "gone":
        newest.unlink()
    elif damage == "poisoned":
        content = torch.load(newest, weights_only=False)
        content["state_dict"]["head.bias"][:] = float("nan")
        torch.save(content, newest)
    else:
        newest.write_bytes(data[:3000] + bytes([data[3000] ^ 8]) + data[3001:])
    if damage == "both":
        second.write_bytes(b"")
    resumed = training(tmp_path, resume=True, **EVERY)
    resumed.train()
    log = log_of(resumed)
    if damage != "gone":
        assert f"Not resumed from {newest}: BAD, " in log
    if damage == "both":
        assert f"Not resumed from {second}: BAD, it has 0 bytes" in log
        assert "Resumed at step" not in log
    else:
        assert f"Load checkpoint from {second}" in log
        assert "Resumed at step 6 of 30" in log
    assert differences(undisturbed, left_by(resumed)) == []


def test_at_least_two_checkpoints_are_kept_and_the_pointer_names_the_last(tmp_path: Path) -> None:
    runner = training(tmp_path, every=1, checkpoint=dict(max_keep_ckpts=1))
    runner.train()
    assert sorted(x.name for x in tmp_path.glob("iter_*.pth")) == ["iter_10.pth", "iter_9.pth"]
    assert (tmp_path / POINTER).read_text() == str(tmp_path / "iter_10.pth")
    (best,) = tmp_path.glob("best_*.pth")
    assert verify(best).problem is None
    assert runner.message_hub.get_info("best_ckpt") == str(best)


def test_a_training_that_turns_nan_publishes_no_checkpoint_of_it(tmp_path: Path) -> None:
    runner = training(
        tmp_path,
        every=2,
        max_iters=9,
        hooks=[dict(type=f"mmengine.{Poison.__name__}", place="weight", steps=[5])],
    )
    with pytest.raises(CheckpointError, match=r"NaN or infinity in state_dict|in ema_state_dict"):
        runner.train()
    assert sorted(x.name for x in tmp_path.glob("iter_*.pth")) == ["iter_4.pth", "iter_5.pth"]
    assert (tmp_path / POINTER).read_text() == str(tmp_path / "iter_5.pth")
    assert re.search(r" - ERROR - .*CHECKPOINT NOT GOOD: NaN or infinity in ", log_of(runner))
    assert (tmp_path / "nonfinite_iter_6.pth").is_file()
    chosen = newest_good(tmp_path)
    assert chosen.path == tmp_path / "iter_5.pth"


def test_a_disk_that_is_full_for_a_while_costs_the_checkpoints_of_that_while_alone(tmp_path: Path) -> None:
    def child() -> None:
        runner = training(tmp_path / "run", every=2)
        save, limits = runner.save_checkpoint, resource.getrlimit(resource.RLIMIT_FSIZE)

        def full_at_four(out_dir: str, filename: str, **kwargs: Any) -> None:
            if filename == "iter_4.pth":
                resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
            save(out_dir, filename, **kwargs)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        runner.save_checkpoint = full_at_four
        runner.train()

    output = tmp_path / "output.txt"
    assert in_child(child, output) == 0, output.read_text()[-2000:]
    (log,) = (tmp_path / "run").glob("*/*.log")
    assert re.search(r" - ERROR - .*CHECKPOINT NOT SAVED: .*iter_4\.pth: .*File too large", log.read_text())
    assert sorted(x.name for x in (tmp_path / "run").glob("iter_*.pth")) == ["iter_10.pth", "iter_8.pth"]
    assert newest_good(tmp_path / "run").rejected == ()


def test_a_first_checkpoint_that_cannot_be_saved_ends_the_training(tmp_path: Path) -> None:
    runner = training(tmp_path, every=2)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    runner.message_hub.state_dict = refuse
    with pytest.raises(CheckpointError, match=r"CHECKPOINT NOT SAVED: .*No space left"):
        runner.train()
    assert list(tmp_path.glob("*.pth")) == []


def test_checkpoints_need_a_file_system(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need a file system"):
        training(tmp_path, checkpoint=dict(backend_args=dict(backend="petrel")))
