"""Beginning in a folder with results, and two runs in one folder at once."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Process
from pathlib import Path

import pytest

import mmvisionllama
from mmvisionllama.checkpoint import newest_good
from mmvisionllama.checkpoint.run_identity import JOB_VARIABLE, read_record
from mmvisionllama.errors import LaunchError
from mmvisionllama.fault_tolerance import folder_lock
from mmvisionllama.fault_tolerance.folder_lock import locked
from tests.tools.commands import TOY, log_text, logged_losses, run
from tests.training.test_launch import options


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a finished training of three steps; tests must not change it."""
    work_dir = tmp_path_factory.mktemp("original") / "run"
    mmvisionllama.train(TOY, work_dir=work_dir, cfg_options=options())
    return work_dir


@pytest.fixture
def used(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


def files(folder: Path) -> dict[str, bytes]:
    found = (x for x in sorted(folder.rglob("*")) if x.is_file() and x.name != folder_lock.LOCK)
    return {str(x.relative_to(folder)): x.read_bytes() for x in found}


def test_beginning_among_results_is_refused_and_the_ways_on_are_named(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(used)
    assert run("train", TOY, "--work-dir", used) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {used} holds results of run {read_record(used).run_id[:8]}: iter_3.pth")
    for way in ("--resume", "--overwrite", "--work-dir"):
        assert way in error
    assert files(used) == before


def test_a_finished_summary_alone_is_a_result_and_a_tests_logs_are_none(used: Path) -> None:
    for path in used.glob("*.pth*"):
        path.unlink()
    assert run("train", TOY, "--work-dir", used) == 2
    (used / "summary.json").unlink()
    assert run("train", TOY, "--work-dir", used) == 0


def test_overwrite_moves_the_old_results_aside_and_nothing_else(used: Path, original: Path) -> None:
    (used / "notes.txt").write_text("mine")
    (used / "weights.pth").write_bytes(b"mine")
    (used / "0").mkdir()
    (used / "0" / "iter_3.pth").write_bytes(b"another run's")
    pages = ("report.html", "predictions/predictions.json")  # of the old weights
    (used / "predictions").mkdir()
    for name in pages:
        (used / name).write_text("old")
    assert run("train", TOY, "--work-dir", used, "--overwrite") == 0
    (aside,) = used.glob("overwritten_*")
    assert not any((used / name).exists() for name in pages)
    for name in pages:
        assert (aside / name).read_text() == "old"
        (aside / name).unlink()
    assert files(aside) == files(original)
    assert (used / "notes.txt").read_text() == (used / "weights.pth").read_bytes().decode() == "mine"
    assert (used / "0" / "iter_3.pth").read_bytes() == b"another run's"
    assert read_record(used).run_id != read_record(original).run_id
    assert list(logged_losses(used)) == [1, 2, 3]
    assert f"files and folders of an earlier training to {aside}" in log_text(used)


def test_overwrite_in_an_empty_folder_changes_nothing(tmp_path: Path) -> None:
    assert run("train", TOY, "--work-dir", tmp_path / "run", "--overwrite") == 0
    assert not list(tmp_path.glob("run/overwritten_*"))


def test_overwrite_and_resume_exclude_each_other(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(used)
    assert run("train", TOY, "--work-dir", used, "--overwrite", "--resume") == 2
    assert run("train", TOY, "--work-dir", used, "--overwrite", "--resume", used / "iter_3.pth") == 2
    assert capsys.readouterr().err.count("leave one of them out") == 2
    assert files(used) == before


def test_a_fork_into_a_folder_with_results_is_refused_too(
    used: Path, original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = {"train_cfg.max_iters": 4}
    other = tmp_path / "other"
    assert run("train", TOY, "--work-dir", other) == 0
    assert run("train", TOY, "--work-dir", other, "--resume", used / "iter_3.pth", **longer) == 2
    assert "holds results of run" in capsys.readouterr().err
    start = [used / "iter_3.pth", "--overwrite"]
    assert run("train", TOY, "--work-dir", other, "--resume", *start, **longer) == 0
    assert list(logged_losses(other)) == [4]
    assert files(used) == files(original)


def test_a_best_checkpoint_from_which_nothing_goes_on_does_not_stop_a_resume(used: Path) -> None:
    for name in ("iter_3.pth", "iter_3.pth.json"):
        (used / name).rename(used / name.replace("iter", "best_error_iter"))
    content = json.loads((used / "best_error_iter_3.pth.json").read_text())
    (used / "best_error_iter_3.pth.json").write_text(
        json.dumps({**content, "file": "best_error_iter_3.pth", "resumable": False})
    )
    assert run("train", TOY, "--work-dir", used, "--resume") == 0
    (aside,) = used.glob("overwritten_*")
    assert (aside / "best_error_iter_3.pth").is_file()
    assert newest_good(used).path == used / "iter_3.pth"


def test_a_job_that_starts_again_is_not_refused_by_what_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOB_VARIABLE, "12")
    assert run("train", TOY, "--work-dir", tmp_path, "--overwrite") == 0
    assert run("train", TOY, "--work-dir", tmp_path, "--overwrite") == 0
    assert not list(tmp_path.glob("overwritten_*"))
    monkeypatch.setenv(JOB_VARIABLE, "13")
    assert run("train", TOY, "--work-dir", tmp_path) == 2


def test_a_dry_run_does_not_mind_results(used: Path) -> None:
    before = files(used)
    assert run("train", TOY, "--work-dir", used, "--dry-run") == 0
    assert files(used) == before


@pytest.fixture
def holder(used: Path) -> Iterator[Process]:
    """Another process, which holds the lock of the folder."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def hold() -> None:
        with locked(used) as problem:
            theirs.send(problem)
            time.sleep(600)

    process = context.Process(target=hold)
    process.start()
    assert ours.recv() is None
    yield process
    process.kill()
    process.join()


def test_the_second_run_in_a_folder_is_refused_until_the_first_dies(
    used: Path, holder: Process, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(used)
    monkeypatch.setattr(folder_lock, "_PATIENCE", 0.3)
    for way in ("--resume", "--overwrite"):
        assert run("train", TOY, "--work-dir", used, way) == 2
        error = capsys.readouterr().err
        assert f"{used} is in use by the run of " in error
        assert f"pid {holder.pid}," in error
    assert files(used) == before
    holder.kill()
    holder.join()
    assert run("train", TOY, "--work-dir", used, "--resume", **{"train_cfg.max_iters": 4}) == 0


def test_a_start_waits_for_a_run_that_is_ending(used: Path, holder: Process) -> None:
    ending = os.fork()
    if ending == 0:
        time.sleep(0.5)
        os.kill(holder.pid, signal.SIGKILL)
        os._exit(0)
    with locked(used) as problem:
        assert problem is None
    os.waitpid(ending, 0)


def is_free(folder: Path) -> bool:
    """Whether another process can lock a folder."""
    script = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    command = [sys.executable, "-S", "-c", script, str(folder / folder_lock.LOCK)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_process_that_a_run_has_forked_does_not_keep_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(600)
    try:
        assert is_free(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_one_process_may_hold_a_folder_twice_and_lets_go_once(tmp_path: Path) -> None:
    with locked(tmp_path):
        with locked(tmp_path):
            assert not is_free(tmp_path)
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_where_there_is_no_lock_service_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(folder_lock.fcntl, "lockf", refuse)
    assert run("train", TOY, "--work-dir", tmp_path) == 0
    assert "cannot be locked ([Errno 37] No locks available)" in log_text(tmp_path)


def test_a_lock_is_never_opened_through_a_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("years")
    (tmp_path / folder_lock.LOCK).symlink_to(target)
    with pytest.raises((LaunchError, OSError)), locked(tmp_path):
        pass
    assert target.read_text() == "years"
