"""tools/study.py, with real trainings of the toy."""

import json
from pathlib import Path

import pytest

from tests.experiments.test_study import write
from tests.tools.commands import TOY, main


def test_a_study_trains_reports_and_draws(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    warm: dict[str, str],
) -> None:
    for name, value in warm.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPUS", "0")
    slow = tmp_path / "slow.py"
    slow.write_text(f"_base_ = {str(TOY)!r}\noptim_wrapper = dict(optimizer=dict(lr=1e-9))\n")
    runs = dict(after=dict(config=str(slow), load_from="before"))
    file = write(tmp_path, preparations=dict(before=dict(config=str(TOY))), runs=runs, seeds=[4])
    assert main("study", file, "--out", tmp_path / "out") == 0, capfd.readouterr().err
    facts = json.loads((tmp_path / "out/study.json").read_text())
    before, after = (
        json.loads((tmp_path / f"out/{name}_seed4/summary.json").read_text()) for name in ("before", "after")
    )
    # At a rate of almost nothing the run ends where its preparation did.
    assert facts["runs"][0]["final"]["error"] == [after["last"]["error"]]
    assert abs(after["last"]["error"] - before["last"]["error"]) < 1e-6
    assert after["seed"] == 4
    assert (tmp_path / "out/study.md").read_text().startswith("| run | parameters | error |")
    assert (tmp_path / "out/study.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_name_ends_the_command_with_status_2_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("study", write(tmp_path, metrc="error"), "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "error:" in error and "Did you mean 'metric'?" in error
    assert main("study", write(tmp_path), "--track", "wandbb", "--out", tmp_path / "out") == 2
    assert "--track wandbb: no such tracker" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
