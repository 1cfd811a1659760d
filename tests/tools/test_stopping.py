"""The commands on real signals: everything is saved, one line says how to go on, and the status is 75."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmvisionllama.checkpoint import newest_good, verify
from tests.tools.commands import REPOSITORY, TOY, log_text, logged_losses, run, summary
from tests.tools.test_shell import FOREIGN, OURS

LONG = ["train_cfg.max_iters=100000", "train_cfg.val_interval=50000"]


def start(folder: Path, *options: str, processes: int) -> subprocess.Popen:
    """Start a training in a session of its own, as a terminal or SLURM does."""
    clean = {k: v for k, v in os.environ.items() if k not in (*OURS, *FOREIGN) and not k.startswith("SLURM_")}
    half = f"train_dataloader.batch_size={4 // processes}"
    command = [f"{REPOSITORY}/tools/train.sh", TOY, "--work-dir", "run", "--cfg-options", *options, half]
    return subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env={**clean, "GPUS": "0", "NPROC": str(processes)},
        stdout=(folder / "output.txt").open("a"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for_steps(process: subprocess.Popen, folder: Path) -> None:
    while "Iter(train) [     3/" not in (folder / "output.txt").read_text():
        assert process.poll() is None, (folder / "output.txt").read_text()[-3000:]
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("processes", "number", "whole_group"),
    [(1, signal.SIGINT, True), (2, signal.SIGTERM, False)],
    ids=["Ctrl-C", "two processes, SIGTERM"],
)
def test_a_signal_stops_a_training_that_then_goes_on_as_if_undisturbed(
    tmp_path: Path, processes: int, number: signal.Signals, whole_group: bool
) -> None:
    workers = "train_dataloader.num_workers=2"
    process = start(tmp_path, *LONG, workers, processes=processes)
    wait_for_steps(process, tmp_path)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    assert process.wait(timeout=60) == 75, (tmp_path / "output.txt").read_text()[-3000:]
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


def test_the_same_signal_again_ends_a_training_that_does_not_reach_a_step(tmp_path: Path) -> None:
    """A process that hangs must not need SIGKILL; what comes within two seconds counts as one signal."""
    code = (
        "import time; from mmvisionllama.engine.stopping import StopRequest\n"
        "with StopRequest().listening():\n    print('ready', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout.readline() == "ready\n"
    for pause in (0.0, 0.1, 2.2):
        time.sleep(pause)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == -signal.SIGTERM
