"""Work directories of trainings, whole, resumed, killed and foreign ones, as they are read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmvisionllama.errors import UserError
from mmvisionllama.run_reports.logged_curves import is_greater_better, logged_curves
from mmvisionllama.run_reports.run_log import read_session
from mmvisionllama.run_reports.work_directory import read_run, read_runs


def test_steps_that_were_made_again_after_a_resume_appear_once_as_they_were_made_last(
    runs: dict[str, Path],
) -> None:
    run = read_run(runs["resumed"])
    assert run.curves["loss"].steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.flatnonzero(~np.isfinite(run.curves["loss"].values)).tolist() == [3]
    assert run.curves["loss"].not_finite() == 1
    last = _logs(runs["resumed"])[-1]
    again = [json.loads(x)["time"] for x in last.read_text().splitlines() if '"iter"' in x]
    assert run.curves["time"].values[3:].tolist() == again
    assert (np.diff(run.curves["loss"].seconds) > 0).all()
    assert run.validated["error"].steps.tolist() == [2, 4, 6]
    assert run.validated["error"].best(greater=False)[0] == 6


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/vis_data/scalars.json"))


def test_a_log_tells_starts_skipped_steps_and_the_end(runs: dict[str, Path]) -> None:
    first, second = read_run(runs["resumed"]).sessions
    assert first.began == "2020/01/01 00:00:00"
    assert [x.kind for x in first.events] == ["skipped step"]
    assert [x.kind for x in second.events] == ["weights", "warning", "resumed", "skipped step", "finished"]
    assert first.facts["batch"] == "global batch 4 = 1 process x 4"


def test_steps_that_are_skipped_one_after_the_other_are_counted(tmp_path: Path) -> None:
    lines = [f"2026/01/01 00:00:0{i} - mmengine - WARNING - Step {i} skipped: NaN\n  more" for i in range(3)]
    lines.append("2026/01/01 00:00:09 - mmengine - ERROR - /a/b.py - f - 7 - Disk: no space\xff left")
    (tmp_path / "a.log").write_bytes("\n".join(lines).encode("latin1"))
    skipped, failed = read_session(tmp_path).events
    assert (skipped.count, skipped.text) == (3, "Step 2 skipped: NaN")
    assert (failed.kind, failed.text[:5]) == ("error", "Disk:")


def test_a_run_that_says_running_and_that_nobody_holds_was_killed(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(runs["whole"], tmp_path / "moved")
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "status": "running"}))
    run = read_run(folder)
    assert run.status == "killed"
    assert run.settings["train_cfg.max_iters"] == 6  # found although the summary names another folder
    assert run.images_per_step == 4


def test_a_run_without_summary_has_the_metrics_of_its_log(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(runs["resumed"], tmp_path / "run")
    (folder / "summary.json").unlink()
    run = read_run(folder)
    assert run.validated["error"].steps.tolist() == [2, 4, 6]
    assert run.status.startswith("not known")
    assert (run.steps, run.images_per_step) == (6, None)


def test_validations_that_are_counted_in_epochs_are_put_at_the_step_before_them() -> None:
    train = [{"loss": 1.0, "time": 2.0, "epoch": x // 10, "iter": x, "step": x} for x in (10, 20)]
    session = [train[0], {"mIoU": 3.0, "time": 0.1, "step": 1}, train[1], {"mIoU": 4.0, "step": 2}]
    curves, validated = logged_curves([session], None)
    assert validated["mIoU"].steps.tolist() == [10, 20]
    assert validated["mIoU"].seconds.tolist() == curves["loss"].seconds.tolist() == [20.0, 40.0]


def test_null_is_not_finite_and_minus_one_is_no_such_objects() -> None:
    past = [{"step": 1, "metrics": {"mAP": None, "mAP_l": -1.0}}, {"step": 2, "metrics": {"mAP": 0.5}}]
    _, validated = logged_curves([], past)
    assert list(validated) == ["mAP"]
    assert np.isnan(validated["mAP"].values[0])
    assert validated["mAP"].best(greater=True) == (2, 0.5)


@pytest.mark.parametrize(
    ("metric", "greater"),
    [
        ("accuracy/top1", True),
        ("mIoU", True),
        ("aAcc", True),
        ("coco/bbox_mAP_50", True),
        ("single-label/f1-score", True),
        ("reconstruction/loss", False),
        ("generation/sfid", False),
        ("error", False),
        ("something", None),
    ],
)
def test_the_name_of_a_metric_says_which_way_is_better(metric: str, greater: bool | None) -> None:
    assert is_greater_better(metric) is greater


def test_a_folder_that_is_no_run_is_one_error_that_names_what_is_missing(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"neither summary.json nor .*scalars.json$"):
        read_run(tmp_path)
    with pytest.raises(UserError, match=r"below it are .*/resumed, .*/unvalidated, .*/whole$"):
        read_run(runs["whole"].parent)
    with pytest.raises(UserError, match=r"gone is no work directory of a training: it is missing"):
        read_run(tmp_path / "gone")
    (tmp_path / "summary.json").write_text('{"status": "fin')
    with pytest.raises(UserError, match=r"summary.json is damaged"):
        read_run(tmp_path)


def test_runs_of_one_name_are_told_apart_and_no_run_is_given_twice(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    other = shutil.copytree(runs["whole"], tmp_path / "other" / "whole")
    names = [x.name for x in read_runs([runs["whole"], other, runs["unvalidated"]])]
    assert names == [f"{runs['whole'].parent.name}/whole", "other/whole", "unvalidated"]
    with pytest.raises(UserError, match="is given twice"):
        read_runs([runs["whole"], runs["whole"] / ".." / "whole"])
