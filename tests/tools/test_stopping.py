"""The commands on real signals: everything is saved, one line says how to go on, and the status is 75."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mmvisionllama.checkpoint import newest_good, verify
from mmvisionllama.errors import ExitStatus
from tests.tools.commands import REPOSITORY, TOY, log_text, logged_losses, run, summary
from tests.tools.test_shell import FOREIGN, OURS

LONG = ["train_cfg.max_iters=100000", "train_cfg.val_interval=50000"]


@pytest.fixture
def sessions() -> Iterator[list[int]]:
    """List the sessions that a test starts; whatever runs there at its end is killed."""
    started: list[int] = []
    yield started
    for pid in started:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def start(
    sessions: list[int], folder: Path, *options: str, processes: int, **variables: str
) -> subprocess.Popen:
    """Start a training in a session of its own, as a terminal or SLURM does."""
    clean = {k: v for k, v in os.environ.items() if k not in (*OURS, *FOREIGN) and not k.startswith("SLURM_")}
    half = f"train_dataloader.batch_size={4 // processes}"
    command = [f"{REPOSITORY}/tools/train.sh", TOY, "--work-dir", "run", "--cfg-options", *options, half]
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env={**clean, "PYTHON": sys.executable, "GPUS": "0", "NPROC": str(processes), **variables},
        stdout=(folder / "output.txt").open("a"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    sessions.append(process.pid)
    return process


def wait_for_steps(process: subprocess.Popen, folder: Path) -> None:
    while "Iter(train) [     3/" not in log_text(folder / "run"):
        assert process.poll() is None, (folder / "output.txt").read_text()[-3000:]
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "number", "whole_group"),
    [(1, signal.SIGINT, True), (2, signal.SIGTERM, False), (1, signal.SIGHUP, True)],
    ids=["Ctrl-C", "two processes, SIGTERM", "its terminal closes"],
)
def test_a_signal_stops_a_training_that_then_goes_on_as_if_undisturbed(
    tmp_path: Path,
    sessions: list[int],
    processes: int,
    number: signal.Signals,
    whole_group: bool,
    warm: dict[str, str],
) -> None:
    workers = "train_dataloader.num_workers=2"
    interpreter = {} if whole_group else warm  # forks are in no group of their script
    process = start(sessions, tmp_path, *LONG, workers, processes=processes, **interpreter)
    wait_for_steps(process, tmp_path)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    assert process.wait(timeout=300) == 75, (tmp_path / "output.txt").read_text()[-3000:]
    output, work_dir = (tmp_path / "output.txt").read_text(), tmp_path / "run"
    assert "Traceback" not in output
    (step,) = map(int, re.findall(rf"Stopped by {number.name} after step (\d+) of 100000\.", output))
    saved = work_dir / f"iter_{step}.pth"
    assert f"Everything is in {saved}; the same command with --resume goes on there" in output
    assert verify(saved).manifest.step == step
    assert newest_good(work_dir).path == saved
    assert summary(work_dir)["status"] == "interrupted"
    last = {"train_cfg.max_iters": step + 3, "train_cfg.val_interval": 50000}
    assert run("train", TOY, "--work-dir", work_dir, "--resume", **last) == 0
    assert f"Resumed at step {step} of {step + 3}" in log_text(work_dir)
    assert run("train", TOY, "--work-dir", tmp_path / "whole", **last) == 0
    resumed, whole = logged_losses(work_dir), logged_losses(tmp_path / "whole")
    assert list(resumed) == [step + 1, step + 2, step + 3]
    expected = {x: whole[x] for x in resumed}
    assert resumed == (expected if processes == 1 else pytest.approx(expected, rel=1e-3))


def test_the_same_signal_again_ends_a_training_that_does_not_reach_a_step() -> None:
    """A process that hangs must not need SIGKILL; what comes within two seconds counts as one signal."""
    code = (
        "import sys, types; from mmvisionllama.fault_tolerance import stopping\n"
        "stopping.time = types.SimpleNamespace(monotonic=lambda: now)\n"
        "with stopping.StopRequest().listening():\n"
        "    for line in sys.stdin:\n"
        "        now = float(line)\n"
        "        print('ready', flush=True)"
    )
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, **pipes) as process:
        for seconds in (0.0, 0.1, 2.2):
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=50) == -signal.SIGTERM


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_the_processes_of_a_launcher_that_is_killed_save_and_end(tmp_path: Path, sessions: list[int]) -> None:
    process = start(sessions, tmp_path, *LONG, processes=2)
    wait_for_steps(process, tmp_path)
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    ranks = [int(x) for task in tasks for x in task.read_text().split()]
    assert len(ranks) == 2
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while any(map(is_alive, ranks)):
        assert time.monotonic() < end, (tmp_path / "output.txt").read_text()[-3000:]
        time.sleep(0.05)
    (step,) = map(
        int, re.findall(r"Stopped by SIGTERM after step (\d+)", (tmp_path / "output.txt").read_text())
    )
    assert newest_good(tmp_path / "run").path == tmp_path / "run" / f"iter_{step}.pth"


def test_a_launcher_without_processes_yet_ends_by_a_signal(tmp_path: Path) -> None:
    """It waits for a second machine, which does not come."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meeting = {"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "mmvisionllama", "train", TOY]
    environment = {**os.environ, **meeting, "GPUS": "0", "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(list(map(str, command)), env=environment, cwd=tmp_path)
    try:
        while not is_open(port):
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM
    finally:
        process.kill()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_download_that_never_answers_ends_with_a_report_after_the_timeout(
    tmp_path: Path, sessions: list[int], warm: dict[str, str]
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        weights = f"http://127.0.0.1:{server.getsockname()[1]}/weights.pth"
        options = [f"load_from={weights}", "env_cfg.dist_cfg.timeout=4"]
        process = start(sessions, tmp_path, *options, processes=1, **warm)
        assert process.wait(timeout=120) == ExitStatus.STALLED, (tmp_path / "output.txt").read_text()[-3000:]
    output = (tmp_path / "output.txt").read_text()
    assert "STALLED: nothing has moved for" in output
    assert re.search(r"rank 0 of 1 \(.*\), before the first step, phase: start", output)
    assert "Stack of MainThread" in output
    assert not (tmp_path / "run").exists()
