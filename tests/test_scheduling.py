"""Tests run in any order of files, chosen by what changed, and however the command is started."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ROOT
from tests.scheduling import ALWAYS, LONGEST, mirrors_of, place_of

# They read and draw files, ask for folders below HOME, start processes and send signals.
DELICATE = (
    "tests/test_errors.py",
    "tests/config/test_custom_keys.py",
    "tests/experiments/test_study_report.py",
    "tests/tools/test_stopping.py::test_the_same_signal_again_ends_a_training_that_does_not_reach_a_step",
)
NO_HOME = "/dev/null"  # a folder in which nobody can write, not even root


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *DELICATE]


@pytest.mark.slow
def test_tests_pass_in_the_background_of_a_machine_that_has_set_nothing_up(tmp_path: Path) -> None:
    """As cron and ``nohup ... &`` start them: few variables, no input, no writable HOME, deaf to Ctrl-C."""

    def as_in_the_background() -> None:
        os.close(0)
        os.umask(0o077)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    environment = dict(
        PATH="/usr/bin:/bin", HOME=NO_HOME, LC_ALL="C", TZ="Asia/Kathmandu", PYTHONPATH=str(ROOT)
    )
    with (tmp_path / "output").open("w") as output:
        done = subprocess.run(
            command("-n", "1", "--dist", "loadfile"),
            cwd=ROOT,
            env=environment,
            preexec_fn=as_in_the_background,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    assert done.returncode == 0, (tmp_path / "output").read_text(errors="replace")[-3000:]


@pytest.mark.slow
def test_tests_pass_in_a_terminal_of_another_language_and_size() -> None:
    inside, terminal = pty.openpty()
    environment = {**os.environ, "HOME": NO_HOME, "LANG": "de_DE.UTF-8", "TERM": "xterm", "COLUMNS": "40"}
    environment = {k: v for k, v in environment.items() if not k.startswith(("PYTEST_", "LC_"))}
    with subprocess.Popen(
        command(), cwd=ROOT, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                shown += os.read(inside, 1 << 16)
            except OSError:  # the terminal is closed when its last process ends
                break
    os.close(inside)
    assert process.returncode == 0, shown.decode(errors="replace")[-3000:]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("tests/models/test_rope.py", {"tests/models/test_rope.py"}),
        ("tests/models/test_gone.py", set()),
        ("mmvisionllama/models/layers.py", {"tests/models/test_layers.py"}),
        ("mmvisionllama/cli/sample.py", {"tests/cli/test_sample.py"}),
        ("mmvisionllama/compat.py", {"tests/test_compat.py"}),
        ("CITATION.cff", set()),
    ],
)
def test_a_change_is_tested_by_the_file_that_mirrors_it(changed: str, expected: set[str]) -> None:
    assert set(mirrors_of([changed])) == {ALWAYS, *expected}


@pytest.mark.parametrize(
    ("changed", "room"),
    [
        ("mmvisionllama/training/runner.py", "tests/training"),
        ("tests/fault_tolerance/trainings.py", "tests/fault_tolerance"),
        ("configs/seg/visionllama_upernet_ade20k.py", "tests/configs"),
        ("tools/train.sh", "tests/tools"),
        ("README.md", "tests/docs"),
        ("mmvisionllama/suggestions.py", "tests"),
    ],
)
def test_a_change_without_a_file_of_its_own_is_tested_by_its_room(changed: str, room: str) -> None:
    assert {str(Path(x).parent) for x in mirrors_of([changed]) if x != ALWAYS} == {room}


def test_the_longest_tests_are_where_the_schedule_expects_them() -> None:
    assert all((ROOT / path).exists() for path in LONGEST)
    assert place_of("tests/slurm/test_training.py::test_x") < place_of("tests/models/test_rope.py::test_x")


def test_help_lists_every_target_with_a_description() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = (ROOT / "Makefile").read_text().partition(".PHONY:")[2].splitlines()[0].split()
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("  make ")] == targets
