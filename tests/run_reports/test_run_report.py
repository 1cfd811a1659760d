"""Reports of runs that were resumed, have results of classes, or went back after NaN."""

import json
import shutil
from pathlib import Path

import pytest

from mmvisionllama.run_reports.happenings import happenings
from mmvisionllama.run_reports.pages import Table, Text
from mmvisionllama.run_reports.run_report import report
from mmvisionllama.run_reports.work_directory import read_run
from tests.tools.commands import main


@pytest.fixture
def folder(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the resumed run."""
    return shutil.copytree(runs["resumed"], tmp_path / "run")


def test_a_report_lies_in_the_work_directory_and_says_what_happened(folder: Path) -> None:
    for _ in range(2):
        assert main("report", folder) == 0
    page = (folder / "report.html").read_text()
    for said in (
        "Training: finished, 6 of 6 steps.",
        "2 starts: resumes: 1, skipped steps: 2, starts that ended without a word: 1.",
        "Resumed at step 3 of 6",
        "Step 4 skipped: the loss is NaN or infinite",
        "1 logged losses were NaN or infinite",
        "1 batches of bad steps are kept in",
        "train_cfg.max_iters = 6  # --cfg-options",
        "does not tell the task of the model",
    ):
        assert said in page
    summary = json.loads((folder / "summary.json").read_text())
    for key in ("command", "hardware", "run_id"):
        assert summary[key] and summary[key] in page
    assert summary["commit"] is None or summary["commit"] in page


def test_results_of_classes_are_those_of_the_best_validation(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    classes = {"IoU": {"ground": 97.0, "<b>": None}}
    told = {"best_step": 4, "best_classes": classes, "last_step": 6, "last_classes": classes}
    (folder / "summary.json").write_text(json.dumps({**summary, **told}))
    (section,) = [x for x in report(read_run(folder)).sections if x.title == "Results of each class"]
    assert [x.text for x in section.blocks if isinstance(x, Text)] == [
        "Of the validation after step 4.",
        "Did not occur: <b>.",
    ]


def test_places_where_the_nan_guard_went_back_are_listed_and_a_damaged_record_is_named(folder: Path) -> None:
    incident = {
        "reason": "10 bad steps",
        "first": 30,
        "last": 65,
        "bad": [30, 65],
        "checkpoint": "iter_20.pth",
    }
    (folder / "nan_guard.json").write_text(json.dumps([incident]))
    rows = [x.rows for x in happenings(read_run(folder)) if isinstance(x, Table)][-1]
    assert rows == [["31 to 66", "10 bad steps", "2", "iter_20.pth"]]
    (folder / "nan_guard.json").write_text("[")
    told = [x.text for x in happenings(read_run(folder)) if isinstance(x, Text)]
    assert any(x.startswith("nan_guard.json cannot be read") for x in told)
