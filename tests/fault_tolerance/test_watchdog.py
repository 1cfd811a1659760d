"""A run that hangs ends by itself and says where; what merely takes its time goes on."""

import ctypes
import faulthandler
import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmvisionllama.errors import ExitStatus, LaunchError, Stopped
from mmvisionllama.fault_tolerance import watchdog
from mmvisionllama.fault_tolerance.watchdog import Watchdog
from mmvisionllama.training.distributed import timeout_of
from tests.fault_tolerance.resume_cases import Crash, training
from tests.tools.commands import REPOSITORY, TOY
from tests.tools.test_shell import FOREIGN, OURS

TIMEOUT = 2.0


@HOOKS.register_module()
class HangingHook(Hook):
    """Hang in one process after a training step, counted from 0."""

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        if runner.iter == 2 and runner.rank == 1:
            time.sleep(100_000)


def log_of(runner: Runner) -> str:
    return Path(runner.log_dir, f"{runner.timestamp}.log").read_text()


def watched(folder: Path, work: Callable[[Watchdog], None], starting: tuple[int, int] | None = None) -> int:
    """Start a process that watches itself at ``work``; it logs into ``folder/log`` and returns its pid."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(folder / "output", os.O_CREAT | os.O_WRONLY), 2)
            logger = logging.Logger("watched")
            logger.addHandler(logging.FileHandler(folder / "log"))
            dog = Watchdog(TIMEOUT, lambda: "after step 3 of 7", logger, starting=starting)
            with dog.watching():
                dog.enter("test")
                (folder / "begun").touch()
                work(dog)
            status = 0
        finally:
            os._exit(status)
    while not (folder / "begun").exists():
        time.sleep(0.01)
    return child


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def hang(dog: Watchdog) -> None:
    time.sleep(100_000)


def hang_beside_a_clock(dog: Watchdog) -> None:
    def tick() -> None:
        while True:
            until = time.thread_time() + watchdog._BUSY * TIMEOUT / 100
            while time.thread_time() < until:
                pass
            time.sleep(TIMEOUT / 50)

    threading.Thread(target=tick, daemon=True).start()
    time.sleep(100_000)


def compute_for_a_while(dog: Watchdog) -> None:
    until = time.process_time() + 1.5 * TIMEOUT
    while time.process_time() < until:
        pass


def move_for_a_while(dog: Watchdog) -> None:
    for _ in range(60):
        time.sleep(TIMEOUT / 20)
        dog.enter("test")


def test_a_process_that_hangs_ends_with_a_status_of_its_own_and_says_where(tmp_path: Path) -> None:
    assert status_of(watched(tmp_path, hang)) == ExitStatus.STALLED
    log = (tmp_path / "log").read_text()
    assert "STALLED: nothing has moved for 2 s\nrank 0 of 1 (" in log
    assert "), after step 3 of 7, phase: test\nStack of MainThread:\n" in log
    assert "time.sleep(100_000)" in log


def test_a_process_that_moves_now_and_then_goes_on_as_long_as_it_likes(tmp_path: Path) -> None:
    assert status_of(watched(tmp_path, move_for_a_while)) == 0
    assert (tmp_path / "log").read_text() == ""


def test_a_process_that_was_suspended_goes_on(tmp_path: Path) -> None:
    """Ctrl-Z, or SLURM that suspends a job, is no hang."""
    child = watched(tmp_path, move_for_a_while)
    os.kill(child, signal.SIGSTOP)
    time.sleep(2 * TIMEOUT)
    os.kill(child, signal.SIGCONT)
    assert status_of(child) == 0
    assert "STALLED" not in (tmp_path / "log").read_text()


def test_a_log_that_hangs_too_does_not_keep_a_process_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_LOG_SECONDS", 0.2)
    monkeypatch.setattr(logging.FileHandler, "emit", lambda self, record: time.sleep(100_000))
    assert status_of(watched(tmp_path, hang)) == ExitStatus.STALLED
    assert "STALLED: nothing has moved for" in (tmp_path / "output").read_text()


def test_a_process_that_does_not_follow_a_signal_says_what_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher will kill it; C code keeps Python from hearing the signal."""
    monkeypatch.setattr(watchdog, "_PATIENCE_AFTER_SIGNAL", 0.5)

    def deaf(dog: Watchdog) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        (tmp_path / "deaf").touch()
        while True:
            dog.enter("test")
            ctypes.CDLL(None).usleep(1_500_000)

    child = watched(tmp_path, deaf)
    while not (tmp_path / "deaf").exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    while "Stack of MainThread" not in (tmp_path / "log").read_text():
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    assert status_of(child) == -signal.SIGKILL
    log = (tmp_path / "log").read_text()
    assert re.search(r"NOT YET STOPPED: nothing has moved for \d s after SIGTERM\nrank 0 of 1 ", log)
    assert "usleep" in log


def test_every_phase_of_a_training_has_a_name(tmp_path: Path) -> None:
    runner = training(tmp_path, max_iters=5)
    runner.cfg.compile = dict(backend="eager")
    phases, enter = [], runner.watchdog.enter
    runner.watchdog.enter = lambda phase: (phases.append(phase), enter(phase))
    runner.train()
    work = [x for x in phases if not x.startswith("hooks at ")]
    expected = [
        "start",
        "loading of weights",
        "loading of training data",
        "first training step, with its compilation",
        "loading of training data",
        "training step",
        "saving of iter_5.pth",
        "loading of validation data",
        "validation step",
        "validation metrics",
        "end of the training",
    ]
    places = [work.index(x) for x in dict.fromkeys(expected)]
    assert places == sorted(places)
    assert work.count("training step") == 4
    assert work.count("validation step") == work.count("validation metrics") + 2 == 3
    assert "hooks at after_train_iter" in phases


def test_an_exception_is_in_the_log_with_its_place_and_its_stack(tmp_path: Path) -> None:
    runner = training(tmp_path, ask=dict(train=3, crash=True))
    with pytest.raises(Crash):
        runner.train()
    log = log_of(runner)
    assert "- ERROR - " in log
    assert "ENDED by Crash: \nrank 0 of 1 (" in log
    assert "), after step 3 of 10, phase: hooks at before_train_iter\nTraceback " in log
    assert "raise Crash" in log


@pytest.mark.parametrize(
    "work, status",
    [(compute_for_a_while, 0), (hang, ExitStatus.STALLED), (hang_beside_a_clock, ExitStatus.STALLED)],
)
def test_only_a_start_that_computes_much_moves(
    tmp_path: Path, work: Callable[[Watchdog], None], status: int
) -> None:
    assert status_of(watched(tmp_path, work, starting=(0, 1))) == status


def test_an_intended_end_is_no_error(tmp_path: Path) -> None:
    runner = training(tmp_path, ask=dict(train=3))
    with pytest.raises(Stopped):
        runner.train()
    assert "ENDED" not in log_of(runner)


def test_a_watchdog_leaves_neither_a_thread_nor_open_files(tmp_path: Path) -> None:
    dog = Watchdog(TIMEOUT, str, logging.Logger("watched"))

    def held() -> tuple[int, list[str]]:
        return signal.set_wakeup_fd(-1), os.listdir("/proc/self/fd")

    def threads() -> set[str]:
        return set(os.listdir("/proc/self/task"))

    before, older = held(), threads()
    for _ in range(3):
        with dog.watching():
            pass
    deadline = time.monotonic() + 30
    while threads() - older and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread that has ended is gone a little later
    assert held() == before
    assert not threads() - older


@pytest.mark.parametrize("timeout", [0, -1, "3", None, True, float("nan")])
def test_a_timeout_that_is_no_time_is_an_error(timeout: object) -> None:
    with pytest.raises(
        LaunchError, match=r"env_cfg\.dist_cfg\.timeout: expected a number of seconds above 0"
    ):
        timeout_of({"timeout": timeout})


def test_without_a_timeout_half_an_hour_is_waited() -> None:
    assert timeout_of({"backend": "nccl"}) == 1800


def test_one_of_two_ranks_that_hangs_ends_the_command(tmp_path: Path, warm: dict[str, str]) -> None:
    """Through torchrun, as a user starts it."""
    config = tmp_path / "hanging.py"
    imports = ["tests.tools.toy", "tests.fault_tolerance.test_watchdog"]
    config.write_text(
        f"_base_ = {str(TOY)!r}\n"
        f"custom_imports = dict(imports={imports!r}, allow_failed_imports=False)\n"
        "custom_hooks = [dict(type='HangingHook')]\n"
        "train_cfg = dict(max_iters=1000, val_interval=500)\n"
        "env_cfg = dict(dist_cfg=dict(timeout=8))\n"
    )
    clean = {k: v for k, v in os.environ.items() if k not in (*OURS, *FOREIGN) and not k.startswith("SLURM_")}
    done = subprocess.run(
        [f"{REPOSITORY}/tools/train.sh", config, "--work-dir", tmp_path / "run"],
        env={**clean, **warm, "GPUS": "0", "NPROC": "2"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    output = done.stdout + done.stderr
    assert done.returncode != 0, output[-3000:]
    (own,) = (tmp_path / "run").glob("*/*_rank1.log")
    assert re.search(
        r"(STALLED|NOT YET STOPPED): nothing has moved .*\n"
        r"rank 1 of 2 \(.*\), after step 2 of 1000, phase: hooks at after_train_iter\n"
        r"Stack of MainThread:\n(.*\n)*.*time\.sleep\(100_000\)",
        own.read_text(),
    )
    (common,) = (x for x in (tmp_path / "run").glob("*/*.log") if x != own)
    assert re.search(
        r"(STALLED|ENDED by)(.*\n)+?rank 0 of 2 \(.*\), after step [23] of 1000", common.read_text()
    )


def test_a_fork_of_a_watched_process_can_be_watched_itself() -> None:
    faulthandler.dump_traceback_later(600)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        faulthandler.dump_traceback_later(600)
        os._exit(0)
    faulthandler.cancel_dump_traceback_later()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
