"""Comparison of runs: what the command writes, and what it says about runs that differ."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmvisionllama.run_reports.comparison import best_and_last, compare, config_differences
from mmvisionllama.run_reports.pages import Strong, Table, Text
from mmvisionllama.run_reports.work_directory import Run, read_run
from tests.tools.commands import REPOSITORY, main, parser_of


@pytest.fixture(scope="module")
def read(runs: dict[str, Path]) -> dict[str, Run]:
    return {name: read_run(folder) for name, folder in runs.items()}


def test_the_command_compares_a_resumed_a_whole_and_an_unvalidated_run(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(runs["whole"].parent)
    for _ in range(2):  # the second call replaces what the first has written
        assert main("compare", "whole", "resumed", "unvalidated", "--out", tmp_path) == 0
    written = {x.name for x in tmp_path.iterdir()}
    pictures = {"comparison_by_step.png", "comparison_by_time.png"}
    assert written == {"comparison.html", "comparison.md", *pictures}
    out = capsys.readouterr().out
    assert all(str(tmp_path / x) in out for x in written)
    assert Image.open(tmp_path / "comparison_by_step.png").height > 300
    text = (tmp_path / "comparison.md").read_text()
    assert re.findall(r"\]\((.*?)\)", text) == sorted(pictures)
    assert "Without validation so far: unvalidated." in text
    assert "| train\\_cfg.max\\_iters | 6 | 6 | 3 |" in text
    assert "optim\\_wrapper.optimizer.lr" not in text  # the same in all
    assert "| starts | 1 | 2 | 1 |" in text


def test_foreign_files_are_not_written_over(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "comparison.md").write_text("mine")
    assert main("compare", runs["whole"], runs["resumed"], "--out", tmp_path) == 2
    assert "comparison.md is there already, and not by this command: choose another folder by --out DIR" in (
        capsys.readouterr().err
    )
    assert [x.read_text() for x in tmp_path.iterdir()] == ["mine"]


def test_one_run_is_not_compared(runs: dict[str, Path], capsys: pytest.CaptureFixture) -> None:
    assert main("compare", runs["whole"]) == 2
    assert "compare needs two runs or more; mmvisionllama report" in capsys.readouterr().err


def test_the_best_of_all_runs_stands_out_by_which_way_is_better(read: dict[str, Run]) -> None:
    cells = best_and_last([read["whole"], read["resumed"], read["unvalidated"]], "error")
    best = [read[x].validated["error"].best(greater=False)[1] for x in ("whole", "resumed")]
    assert [isinstance(x, Strong) for x in cells] == [best[0] < best[1], best[1] < best[0], False]
    assert cells[2] == "-"
    turned = replace(read["whole"], validated={"top1": read["whole"].validated["error"]})
    (cell,) = best_and_last([turned], "top1")
    values = turned.validated["top1"].values
    assert values[0] > values[-1]  # the error fell, so of an accuracy the first would be the best
    assert cell == f"{values[0]:.4g} at 2; last {values[-1]:.4g}"


def test_runs_of_different_tasks_show_what_they_share_and_say_so(read: dict[str, Run]) -> None:
    other = replace(
        read["whole"],
        config={"default_scope": "mmseg"},
        validated={"mIoU": read["whole"].validated["error"]},
    )
    page = compare([read["resumed"], other])
    told = [x.text for x in page.sections[2].blocks if isinstance(x, Text)]
    assert "of different tasks" in told[0] and "only what they share is drawn" in told[0]
    assert "Of one run alone, so not drawn: error, mIoU." in told
    (table,) = [x for x in page.sections[1].blocks if isinstance(x, Table)]
    assert [[str(x) == "-" for x in row[1:]] for row in table.rows] == [[False, True], [True, False]]


def test_config_differences_are_keys_that_are_not_the_same_everywhere() -> None:
    rows = config_differences([{"a": 1, "b": [1], "work_dir": "x"}, {"a": 1, "b": [2], "c": "new"}])
    assert rows == [["b", "[1]", "[2]"], ["c", "not there", "new"]]


def test_every_option_is_in_the_document() -> None:
    text = (REPOSITORY / "docs" / "compare.md").read_text()
    parsers = [parser_of(x) for x in ("compare", "report", "errors")]
    options = {x for parser in parsers for action in parser._actions for x in action.option_strings}
    assert sorted(x for x in options - {"-h", "--help"} if x not in text) == []
