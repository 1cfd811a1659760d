"""What is kept of a training whose checkpoints cannot be saved, or would not be good."""

import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmvisionllama.checkpoint import newest_good, verify
from mmvisionllama.checkpoint.saving import POINTER
from mmvisionllama.errors import CheckpointError
from mmvisionllama.training.checkpoint_hook import SafeCheckpointHook
from mmvisionllama.training.runner import ResumableRunner, Saved
from tests.fault_tolerance.nan_injection import InjectNaN
from tests.fault_tolerance.resume_cases import training


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


def test_at_least_two_checkpoints_are_kept_and_the_pointer_names_the_last(tmp_path: Path) -> None:
    runner = training(tmp_path, every=1, checkpoint=dict(max_keep_ckpts=1))
    runner.train()
    assert sorted(x.name for x in tmp_path.glob("iter_*.pth")) == ["iter_10.pth", "iter_9.pth"]
    assert (tmp_path / POINTER).read_text() == str(tmp_path / "iter_10.pth")
    (best,) = tmp_path.glob("best_*.pth")
    assert verify(best).problem is None
    assert runner.message_hub.get_info("best_ckpt") == str(best)


def test_checkpoints_at_multiples_of_keep_every_stay_besides_the_newest_two(tmp_path: Path) -> None:
    checkpoint = dict(type="mmvisionllama.SafeCheckpointHook", max_keep_ckpts=2, keep_every=3)
    training(tmp_path, every=1, checkpoint=checkpoint).train()
    kept = {int(x.stem.removeprefix("iter_")) for x in tmp_path.glob("iter_*.pth")}
    assert kept == {3, 6, 8, 9, 10}


def test_keep_every_at_which_nothing_is_saved_is_an_error() -> None:
    with pytest.raises(ValueError, match="keep_every must be a multiple of interval=4, got 6"):
        SafeCheckpointHook(interval=4, keep_every=6)


def test_a_training_that_turns_nan_publishes_no_checkpoint_of_it(tmp_path: Path) -> None:
    runner = training(
        tmp_path,
        every=2,
        max_iters=9,
        hooks=[dict(type=f"mmengine.{InjectNaN.__name__}", place="weight", steps=[5])],
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

        def full_at_four(out_dir: str, filename: str, **kwargs: Any) -> Saved:
            if filename == "iter_4.pth":
                resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
            saved = save(out_dir, filename, **kwargs)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            return saved

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


def test_a_loading_process_that_dies_during_a_save_does_not_spoil_it(tmp_path: Path) -> None:
    """torch raises wherever the training is then, which must not look like a damaged checkpoint."""
    runner = training(tmp_path, every=2, workers=1)
    save = runner._write

    def save_when_it_has_died(target: Path, *args: Any, **kwargs: Any) -> Any:
        if target.name == "iter_4.pth":
            loading = runner.train_loop.dataloader._iterator._workers[0].pid
            os.kill(loading, signal.SIGKILL)
            while Path(f"/proc/{loading}/stat").read_text().rpartition(") ")[2][0] != "Z":
                time.sleep(0.01)
        return save(target, *args, **kwargs)

    runner._write = save_when_it_has_died
    # torch names the dead DataLoader worker, or the connection that broke while it fetched a tensor from it.
    with pytest.raises((RuntimeError, EOFError, OSError), match=r"DataLoader worker|[Cc]onnection|^$"):
        runner.train()
    assert newest_good(tmp_path).path == tmp_path / "iter_4.pth"
    assert "CHECKPOINT NOT" not in log_of(runner)


def test_checkpoints_need_a_file_system(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need a file system"):
        training(tmp_path, checkpoint=dict(backend_args=dict(backend="petrel")))
