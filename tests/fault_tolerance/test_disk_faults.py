"""A disk that is full, a folder that is gone: training goes on without reports, and says so once."""

import io
import json
import logging
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvisionllama.checkpoint import newest_good, read_checkpoint
from mmvisionllama.checkpoint.manifest import manifest_of
from mmvisionllama.checkpoint.run_identity import POINTER
from mmvisionllama.checkpoint.saving import publish, temporary_of
from mmvisionllama.checks.checkpoint import check_resume
from mmvisionllama.errors import ArgumentError, CheckpointError
from mmvisionllama.fault_tolerance.disk_faults import DiskFaults, survive_in_logs
from mmvisionllama.reports import summary as module
from mmvisionllama.reports.summary import interruption_recorded, mark_interrupted
from mmvisionllama.training.checkpoint_hook import SafeCheckpointHook, require_resumable
from mmvisionllama.training.runner import Saved
from tests.checks.test_checkpoint import Backbone
from tests.fault_tolerance.resume_cases import Crash, training
from tests.fault_tolerance.test_resume_faults import in_child


class FullDisk(Hook):
    """Let no file grow in some of the steps and their validations."""

    priority = "HIGHEST"

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        allowed = 0 if self.first <= runner.iter < self.last else self._limits[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, self._limits[1]))


def test_a_disk_that_is_full_across_a_validation_costs_its_reports_alone(tmp_path: Path) -> None:
    """Steps 4 to 8, with the validation after step 5, whose best checkpoint cannot be saved."""
    work_dir = tmp_path / "run"

    def child() -> None:
        runner = training(work_dir, every=2)
        runner.register_hook(FullDisk(4, 8))
        runner.train()

    output = tmp_path / "output.txt"
    assert in_child(child, output) == 0, output.read_text()[-3000:]
    (log,) = work_dir.glob("*/*.log")
    said = log.read_text()
    assert said.count("RunSummaryHook at after_val: [Errno 27] File too large") == 1
    assert said.count("LoggerHook at after_train_iter: [Errno 27] File too large") == 1
    assert "RunSummaryHook at after_val: written again" in said
    assert "CHECKPOINT NOT SAVED" in said
    assert "at 5 iter is saved to best_error_iter_5.pth" not in said
    assert "at 10 iter is saved to best_error_iter_10.pth" in said
    summary = json.loads((work_dir / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", 10)
    assert [x["step"] for x in summary["validations"]] == [5, 10]
    assert summary["best_checkpoint"] == str(work_dir / "best_error_iter_10.pth")
    assert newest_good(work_dir).path == work_dir / "iter_10.pth"


def test_a_best_checkpoint_that_cannot_be_saved_does_not_cost_the_one_before(tmp_path: Path) -> None:
    runner = training(tmp_path, every=5, max_iters=20)
    save, errors = runner.save_checkpoint, iter([4.0, 3.0, 5.0, 2.0])

    def refuse(out_dir: str, filename: str, **kwargs: Any) -> Saved:
        if filename == "best_error_iter_10.pth":
            return Saved(Path(out_dir, filename), f"CHECKPOINT NOT SAVED: {filename}: no space")
        return save(out_dir, filename, **kwargs)

    runner.save_checkpoint = refuse
    runner.val_loop.evaluator.evaluate = lambda size: {"error": next(errors)}
    found = []

    class Look(Hook):
        priority = "LOWEST"

        def after_val(self, runner: Runner) -> None:
            hub = runner.message_hub
            best = [x.name for x in tmp_path.glob("best*.pth")]
            found.append((best, hub.get_info("best_score"), Path(hub.get_info("best_ckpt")).name))

    runner.register_hook(Look())
    runner.train()
    five, twenty = "best_error_iter_5.pth", "best_error_iter_20.pth"
    assert found == [([five], 4.0, five), ([five], 4.0, five), ([five], 4.0, five), ([twenty], 2.0, twenty)]


@pytest.mark.parametrize("gone", ["everything", "pointer is a folder"])
def test_a_folder_that_vanishes_or_refuses_costs_no_training(tmp_path: Path, gone: str) -> None:
    work_dir = tmp_path / "run"
    runner = training(work_dir, every=2)

    class Vanish(Hook):
        def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
            if runner.iter == 5 and gone == "everything":
                shutil.rmtree(work_dir)
            if runner.iter == 5 and gone != "everything":
                (work_dir / POINTER).unlink()
                (work_dir / POINTER).mkdir()

    runner.register_hook(Vanish())
    runner.train()
    assert newest_good(work_dir).path == work_dir / "iter_10.pth"
    assert json.loads((work_dir / "summary.json").read_text())["status"] == "finished"


def test_a_log_that_cannot_be_written_says_so_once_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.Logger("of a run")
    logger.addHandler(handler := logging.FileHandler(tmp_path / "run.log"))
    survive_in_logs(logger)
    handler.setStream(FullStream())
    for _ in range(3):
        logger.error("line")
    assert capsys.readouterr().err == (
        f"{tmp_path}/run.log: [Errno 28] No space left on device. Training goes on\n"
    )


class FullStream(io.StringIO):
    def flush(self) -> None:
        if self.getvalue():
            raise OSError(28, "No space left on device")


def test_what_is_no_fault_of_the_disk_is_not_survived(caplog: pytest.LogCaptureFixture) -> None:
    faults = DiskFaults(logging.getLogger("tried"))
    with pytest.raises(KeyError), faults.survived("report"):
        raise KeyError("a bug")
    with caplog.at_level(logging.INFO, "tried"):
        for fails in (True, True, False, False, True):
            with faults.survived("report"):
                if fails:
                    raise OSError(28, "No space left on device")
    assert [x.levelname for x in caplog.records] == ["ERROR", "INFO", "ERROR"]


def test_running_does_not_stay_in_the_summary_of_what_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = training(tmp_path, ask=dict(train=3, crash=True))
    write, calls = module.write_json, []

    def full(path: Path, content: dict) -> None:
        calls.append(path.exists())
        if content["status"] == "interrupted" and path.exists():  # no room for two
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(module, "write_json", full)
    with pytest.raises(Crash), interruption_recorded(runner):
        runner.train()
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "interrupted"
    (tmp_path / "summary.json").write_text('{"status": "running", "steps": 3}')
    mark_interrupted(tmp_path, "STALLED")
    marked = json.loads((tmp_path / "summary.json").read_text())
    assert marked == {"status": "interrupted", "steps": 3, "error": "STALLED"}
    mark_interrupted(tmp_path / "nothing", "STALLED")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"save_optimizer": False}, "save_optimizer=False: nothing could go on"),
        ({"save_param_scheduler": False}, "save_param_scheduler=False: nothing could go on"),
        ({"filename_tmpl": "iter_{}.pt"}, r"filename_tmpl='iter_\{\}.pt'"),
        ({"filename_tmpl": "last.pth"}, "with {} for the number"),
        ({"filename_tmpl": "../iter_{}.pth"}, "and no folder"),
    ],
)
def test_what_no_resume_could_go_on_from_is_refused_before_training(changes: dict, message: str) -> None:
    config = {"default_hooks": {"checkpoint": {"type": "CheckpointHook", "interval": 1, **changes}}}
    with pytest.raises(ArgumentError, match=message):
        require_resumable(config)
    with pytest.raises(ArgumentError, match=message):
        SafeCheckpointHook(interval=1, **changes)


def test_a_relative_out_dir_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training(tmp_path / "run", every=2, max_iters=4, checkpoint=dict(out_dir="saved")).train()
    monkeypatch.chdir("/")
    assert newest_good(tmp_path / "run").path == tmp_path / "saved" / "run" / "iter_4.pth"


def test_what_a_resume_says_of_schedules_threads_and_versions_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(tmp_path, every=2, max_iters=2).train()
    path = tmp_path / "iter_2.pth"
    content = read_checkpoint(path)
    del content["param_schedulers"]
    content["meta"]["threads"] += 3
    content["meta"]["versions"]["torch"] = "1.0"
    torch_save(content, path)
    runner = training(tmp_path, resume=True, max_iters=3)
    runner.train()
    log = Path(runner.log_dir, f"{runner.timestamp}.log").read_text()
    assert "holds no state of the schedules: they begin anew" in log
    assert re.search(r"batch 2: weights, optimizer, logged history and the random state", log)
    assert re.search(r"Other than when iter_2.pth was saved: .*torch .* for 1\.0, threads \d+ for \d+\.", log)
    unchanged = training(tmp_path, resume=True, max_iters=4)
    unchanged.train()
    log = Path(unchanged.log_dir, f"{unchanged.timestamp}.log").read_text()
    assert "Other than when" not in log
    assert "weights, optimizer, schedules of the config, logged history and the random state" in log


def torch_save(content: dict, path: Path) -> None:
    manifest_of(path).unlink()
    torch.save(content, temporary_of(path))
    publish(path)


def test_schedules_that_are_not_there_are_an_error_before_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "iter_1.pth"
    torch.save({"state_dict": {}, "optimizer": {}, "message_hub": {}, "meta": {}}, path)
    with pytest.raises(CheckpointError, match="holds no state of the schedules"):
        check_resume(Backbone(), str(path), {"param_scheduler": [{"type": "LinearLR"}]})
