"""What a terminal or a log shows of a run: few lines before the first step, then it moves, then what next."""

import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvisionllama.datasets.digitscenes import write_digitscenes
from mmvisionllama.reports import progress, run_progress
from mmvisionllama.training import launch  # noqa: F401  before the processes that need it are forked
from tests.reports.terminals import on_terminal
from tests.reports.test_progress import plain
from tests.tools.commands import REPOSITORY, TOY, log_text, run

CONFIGS = [
    "pyramid_visionllama_tiny_maskrcnn_digitscenes",
    "visionllama_tiny_upernet_digitscenes",
    "dit_visionllama_tiny_digits",
]
FEW = 30
TRAIN = f"{REPOSITORY}/tools/train.sh"
ON_CPU = {**os.environ, "GPUS": "0", "PYTHON": sys.executable}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, warm: dict[str, str]) -> Iterator[dict[str, list[str]]]:
    """What ``tools/train.sh`` sends up to the line of the first step, of a config of several tasks."""
    folder = tmp_path_factory.mktemp("screens")
    write_digitscenes(folder / "data" / "digitscenes", num_train=24, num_val=16, workers=1)
    environ = {**ON_CPU, "MMVISIONLLAMA_DATA": str(folder / "data")}
    processes = {
        name: subprocess.Popen(
            [
                f"{REPOSITORY}/tools/train.sh",
                f"{REPOSITORY}/configs/toy/{name}.py",
                "--work-dir",
                name,
                "--steps",
                "2",
            ],
            cwd=folder,
            # One of them shows what the hosts say when they are imported; mmdet says most.
            env=environ if "maskrcnn" in name else {**environ, **warm},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        for name in CONFIGS
    }
    lines: dict[str, list[str]] = {"folder": [str(folder)]}
    for name, process in processes.items():
        lines[name] = []
        for line in process.stdout:
            lines[name].append(line)
            if " step 1 of " in line:
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    yield lines


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_needs_few_lines_before_its_first_step(outputs: dict[str, list[str]], name: str) -> None:
    lines = outputs[name]
    assert " step 1 of " in lines[-1], "".join(lines)
    assert len(lines) - 1 <= FEW, "".join(lines)
    text = "".join(lines)
    for heading in ("model", "data", "batch", "rate", "length", "device", "seed", "folder", "log"):
        assert f"\n  {heading} " in text
    assert re.search(r"\n  images      [13]( x \d+){2}(.*)?, the first (16|64)\n", text), text
    assert "warning: " not in text


@pytest.mark.parametrize("name", CONFIGS)
def test_the_log_file_has_what_the_screen_does_not_show(outputs: dict[str, list[str]], name: str) -> None:
    log = log_text(Path(outputs["folder"][0], name))
    for what in ("optim_wrapper = dict(", "System environment:", "Hooks will be executed"):
        assert what in log
    assert "Seems like `optimizer.step()` has been overridden" not in log


def test_a_terminal_shows_a_bar_a_table_and_the_next_command(here: Path) -> None:
    sent = plain(on_terminal(lambda: run("train", TOY, **{"train_cfg.max_iters": 6}), columns=100))
    assert re.search(r"step ━+ .*/6 ", sent)
    assert "Validation after step 3" in sent
    assert re.search(r"error +0\.\d+", sent)
    assert "\x1b[?25l" not in sent
    (command,) = re.findall(r"next +(\S.*)", sent)
    script, config, checkpoint = shlex.split(command.replace("\r", ""))
    assert Path(script).is_file()
    assert run("test", config, checkpoint) == 0


@pytest.mark.parametrize("environ", [{}, {"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_narrow_terminal_of_any_kind_shows_the_end(here: Path, environ: dict[str, str]) -> None:
    sent = plain(on_terminal(lambda: run("train", TOY), columns=40, **environ))
    assert "Finished: 3 steps" in sent
    assert "work_dirs/toy_config/iter_3.pth" in sent


def test_a_log_gets_lines_while_one_step_takes_long(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
    monkeypatch.setattr(run_progress, "LONG_SECONDS", 0.2)
    slow = {"type": "SlowStepHook", "step": 1, "seconds": 1.0}
    assert run("train", TOY, custom_hooks=[slow]) == 0
    lines = [x for x in capfd.readouterr().out.splitlines() if " step 1 of 3" in x]
    assert len(lines) >= 4
    assert re.search(r"step 1 of 3, .* for \d+ s,", lines[-1])


@pytest.mark.parametrize("closed", [False, True], ids=["reader gone", "closed from the start"])
def test_a_training_goes_on_without_the_reader_of_its_output(here: Path, closed: bool) -> None:
    def train_unread() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        for stream in (1, 2):
            os.dup2(writing, stream)
            if closed:
                os.close(stream)
        sys.stdout, sys.stderr = (None, None) if closed else (open(1, "w"), open(2, "w"))  # noqa: SIM115
        status = run("train", TOY)
        Path("status.txt").write_text(str(status))
        if not closed:
            sys.stdout.flush()  # as Python does at its end

    on_terminal(train_unread)
    assert Path("status.txt").read_text() == "0"
    assert (here / "work_dirs" / "toy_config" / "iter_3.pth").is_file()


def test_dry_runs_and_tests_are_as_quiet_also_without_a_compiler(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sysconfig.get_config_vars(), "CC", "no-such-compiler")
    assert run("train", TOY, "--dry-run") == 0
    assert run("train", TOY, "--work-dir", "run") == 0
    assert "no-such-compiler" not in "".join(capfd.readouterr())
    assert run("test", TOY, "run/iter_3.pth", "--work-dir", "test") == 0
    assert len(capfd.readouterr().out.splitlines()) <= FEW
    assert "Load checkpoint" in log_text(Path("test"))


def test_verbose_shows_the_config(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", TOY, "--verbose") == 0
    assert "optim_wrapper = dict(" in capfd.readouterr().out


def test_the_screen_holds_no_thread_after_a_run(here: Path) -> None:
    before = threading.active_count()
    assert run("train", TOY) == 0
    time.sleep(0.1)
    assert threading.active_count() <= before
