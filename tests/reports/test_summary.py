"""summary.json after trainings that finish, resume, break off, or never train."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvisionllama.errors import UserError
from mmvisionllama.fault_tolerance.folder_lock import is_free, locked
from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.report_hook import validations
from mmvisionllama.reports.summary import interruption_recorded, mark_killed, read_summary

SUMMARY = {"type": "mmvisionllama.RunSummaryHook"}
WITHOUT_VALIDATION = {"val_dataloader": None, "val_cfg": None, "val_evaluator": None}


@HOOKS.register_module()
class RaisingHook(Hook):
    """Raise an error after the third iteration."""

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        if runner.iter == 2:
            raise KeyboardInterrupt


def read(runner: Runner) -> dict:
    return json.loads((Path(runner.work_dir) / "summary.json").read_text())


def test_a_finished_training_leaves_a_summary(finished: Runner) -> None:
    summary = read(finished)
    size = sum(x.numel() for x in finished.model.parameters())
    assert (summary["status"], summary["error"]) == ("finished", None)
    assert (summary["steps"], summary["planned_steps"], summary["seed"]) == (4, 4, 3)
    assert (summary["parameters"], summary["trained_parameters"], summary["world_size"]) == (size, size, 1)
    assert summary["seconds"] > 0
    assert summary["versions"]["torch"] == torch.__version__


def test_the_summary_names_the_config_and_its_resolved_form(finished: Runner) -> None:
    config = read(finished)["config"]
    assert config["name"] == "squares"
    assert Path(config["file"]) == Path(finished.work_dir).parent / "squares.py"
    assert "experiment_name" in Path(config["resolved"]).read_text()


def test_the_last_validation_carries_the_metrics_of_the_host(finished: Runner) -> None:
    summary = read(finished)
    assert (summary["last_step"], set(summary["last"])) == (4, {"aAcc", "mIoU", "mAcc"})
    assert summary["last"]["mIoU"] == pytest.approx(finished.message_hub.get_scalar("val/mIoU").current())


def test_every_validation_is_in_the_summary_the_last_one_last(finished: Runner) -> None:
    summary = read(finished)
    assert [x["step"] for x in summary["validations"]] == [2, 4]
    assert summary["validations"][-1]["metrics"] == summary["last"]


def test_each_metric_has_its_history_and_each_class_its_results(finished: Runner) -> None:
    summary = read(finished)
    past = summary["validations"]
    assert summary["history"]["mIoU"] == {"steps": [2, 4], "values": [x["metrics"]["mIoU"] for x in past]}
    for key in ("last", "best"):
        of_class = summary[f"{key}_classes"]["IoU"]
        assert list(of_class) == ["ground", "square"]
        known = [x for x in of_class.values() if x is not None]
        assert sum(known) / len(known) == pytest.approx(summary[key]["mIoU"], abs=0.01)


def test_metrics_read_as_the_host_rounds_them(finished: Runner) -> None:
    metrics = read(finished)["last"].values()
    assert all(value == round(value, 2) for value in metrics)


def test_the_best_validation_is_the_one_whose_checkpoint_was_kept(finished: Runner) -> None:
    history = finished.message_hub.get_scalar("val/mIoU").data[0]
    summary = read(finished)
    assert summary["best"]["mIoU"] == pytest.approx(max(history))
    assert summary["best_step"] == 2 * (1 + int(history.argmax()))
    assert Path(summary["best_checkpoint"]).name == f"best_mIoU_iter_{summary['best_step']}.pth"
    assert Path(summary["best_checkpoint"]).is_file()
    assert Path(read(finished)["last_checkpoint"]).name == "iter_4.pth"


def test_an_interrupted_training_says_so_and_what_it_had_reached(build_runner: Callable[..., Runner]) -> None:
    runner = build_runner(SUMMARY, {"type": "mmvisionllama.RaisingHook"})
    with pytest.raises(KeyboardInterrupt), interruption_recorded(runner):
        runner.train()
    summary = read(runner)
    assert (summary["status"], summary["error"]) == ("interrupted", "KeyboardInterrupt")
    assert (summary["steps"], summary["last_step"]) == (2, 2)


def test_a_training_that_was_killed_leaves_a_running_summary(build_runner: Callable[..., Runner]) -> None:
    runner = build_runner(SUMMARY, {"type": "mmvisionllama.RaisingHook"})
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert (read(runner)["status"], read(runner)["steps"]) == ("running", 2)


def test_a_resumed_training_counts_the_time_and_validations_before(
    build_runner: Callable[..., Runner],
) -> None:
    checkpoint = dict(type="CheckpointHook", by_epoch=False, interval=2, save_best="mIoU")
    first = build_runner(SUMMARY, default_hooks=dict(checkpoint=checkpoint))
    first.train()
    saved = torch.load(read(first)["last_checkpoint"], weights_only=False)["message_hub"]["runtime_info"]
    longer = dict(type="IterBasedTrainLoop", max_iters=6, val_interval=2)
    second = build_runner(SUMMARY, train_cfg=longer, resume=True)
    second.train()
    summary = read(second)
    assert (summary["steps"], summary["last_step"]) == (6, 6)
    assert summary["seconds"] > saved["seconds_trained"]
    assert validations(second)[0] == validations(first)[0]
    assert summary["history"]["mIoU"]["steps"] == [2, 4, 6]
    assert summary["best_classes"]["IoU"].keys() == {"ground", "square"}  # also of one before the resume


def test_a_training_without_validation_has_a_summary_without_metrics(
    build_runner: Callable[..., Runner],
) -> None:
    checkpoint = {"type": "CheckpointHook", "by_epoch": False, "interval": 2}
    runner = build_runner(SUMMARY, **WITHOUT_VALIDATION, default_hooks={"checkpoint": checkpoint})
    runner.train()
    summary = read(runner)
    assert (summary["status"], summary["last"], "best" in summary) == ("finished", None, False)


def test_a_test_writes_no_summary(build_runner: Callable[..., Runner]) -> None:
    runner = build_runner(SUMMARY)
    runner.test()
    assert not (Path(runner.work_dir) / "summary.json").exists()


def test_numbers_that_json_cannot_hold_become_null(
    finished: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "_work_dir", str(tmp_path))
    monkeypatch.setitem(validations(finished)[-1]["metrics"], "mAcc", float("nan"))
    finished.call_hook("after_run")
    assert read(finished)["last"]["mAcc"] is None


def test_running_is_believed_only_while_a_run_holds_the_folder(tmp_path: Path) -> None:
    write = Path(tmp_path, "summary.json").write_text
    write('{"status": "running", "steps": 3}')
    assert read_summary(tmp_path)["status"] == "running"  # no run has ever locked it: nobody knows
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.write(writing, b"x")
            time.sleep(600)
    os.read(reading, 1)
    assert read_summary(tmp_path)["status"] == "running"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    facts = read_summary(tmp_path)
    assert (facts["status"], facts["steps"]) == ("killed", 3)
    assert "SIGKILL" in facts["error"]
    assert json.loads(Path(tmp_path, "summary.json").read_text())["status"] == "running"
    with locked(tmp_path):
        assert read_summary(tmp_path)["status"] == "running"  # of this process
        assert not is_free(tmp_path)
        mark_killed(tmp_path)
    assert json.loads(Path(tmp_path, "summary.json").read_text())["status"] == "killed"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"status": "done"}', "status is 'done'"),
        ('{"status": "finished", "steps": "3"}', "steps is '3'"),
        ('{"status": "finished", "validations": [3]}', "validations is [3]"),
        ('{"status": "finished", "validations": [{"step": 3}]}', "a validation is {'step': 3}"),
        ('{"status": "finished"}', "it has no 'seconds'"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_damaged_summary_is_one_error_that_names_it(tmp_path: Path, text: str, told: str) -> None:
    Path(tmp_path, "summary.json").write_text(text)
    with pytest.raises(
        UserError, match=f"{re.escape(str(tmp_path / 'summary.json'))} is damaged: .*"
    ) as error:
        read_summary(tmp_path, ["seconds"] if "seconds" in told else [])
    assert told in str(error.value)
    assert read_summary(tmp_path / "nothing") == {}
