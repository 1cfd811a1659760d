"""The command that reproduces tables: its options, what it prints, and what it refuses."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama.experiments.paper import load_table
from tests.tools.commands import REPOSITORY, main, parser_of


def test_the_command_line_is_frozen() -> None:
    parser = parser_of("reproduce")
    names = sorted(name for action in parser._actions for name in action.option_strings or [action.dest])
    options = ["--data", "--dry-run", "--help", "--list", "--out", "--profile", "--report", "--row", "--seed"]
    assert names == sorted(["table", "-h", "--slurm", "--tflops", "--count-flops", *options])


def test_the_list_has_every_table_and_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("reproduce", "--list") == 0
    text = capsys.readouterr().out
    for number in range(1, 13):
        assert f"\ntable{number} - Table {number}: " in f"\n{text}"
    assert text.count("convergence_") >= 3
    assert "pretrain/visionllama_mae_in1k_800e -> seg/visionllama_upernet_ade20k -> test" in text


def test_the_list_estimates_the_hours_of_every_row_with_a_chain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("reproduce", "table4", "--list", "--tflops", "400") == 0
    text = capsys.readouterr().out
    runnable = [row for row in load_table("table4").rows if row.branches]
    assert text.count("GPU-hours, estimated at 400 TFLOP/s: ") == len(runnable)


def test_a_dry_run_prints_the_commands_in_order_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", tmp_path / "out", "--data", tmp_path / "my data", "--seed", "2", "--dry-run"]
    assert main("reproduce", "table4", "--row", "visionllama", *options) == 0
    commands = [shlex.split(x) for x in capsys.readouterr().out.splitlines() if x.startswith("MMVISION")]
    assert [Path(words[1]).name for words in commands] == ["train.sh", "train.sh", "test.sh"]
    assert all(words[0] == f"MMVISIONLLAMA_DATA={tmp_path / 'my data'}" for words in commands)
    mae = tmp_path / "out" / "visionllama_mae_in1k_800e_seed2" / "epoch_800.pth"
    assert commands[1][-1] == f"load_from={mae}"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_on_slurm_prints_the_dependent_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", tmp_path / "out", "--dry-run", "--slurm", "partition=gpu", "gpus=8"]
    assert main("reproduce", "table4", "--row", "visionllama", *options) == 0
    first, second, third = (x for x in capsys.readouterr().out.splitlines() if "JOB" in x or "slurm" in x)
    assert first.startswith("PARTITION=gpu GPUS=8 ") and "slurm_train.sh" in first
    assert "SBATCH_ARGS='--dependency=afterok:JOB1 --kill-on-invalid-dep=yes'" in second
    assert third.startswith("sbatch ") and "--dependency=afterok:JOB2" in third


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a table, e.g. table4; or --list, or --report"),
        (["tabel4"], "no table 'tabel4'. Did you mean 'table4'?"),
        (["table4", "--row", "visionlama"], "no row 'visionlama'. Did you mean 'visionllama'?"),
        (["table4", "--row", "semmae"], "is published alone"),
        (["table4", "--row", "vit", "--slurm", "partitoin=gpu"], "'partitoin'. Did you mean 'partition'?"),
        (["table4", "--row", "vit", "--slurm", "gpus"], "--slurm takes KEY=VALUE, got gpus"),
        (["table4", "--profile", "tiny", "--data", "here"], "makes data of its own, in --out"),
        (["table4", "--row", "vit", "--data", "nowhere"], "these data are missing; --data DIR"),
    ],
)
def test_what_cannot_work_ends_with_status_2_and_one_message_and_leaves_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("reproduce", *arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_tiny_profile_runs_a_chain_through_the_launchers_and_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: dict[str, str]
) -> None:
    """A training, then its test, each in a process of its own, as users start them."""
    # Fresh itself, so that it would print what hosts say when they are imported.
    command = [
        sys.executable,
        REPOSITORY / "tools" / "_command.py",
        "reproduce",
        "table7",
        "--row",
        "gap_small",
        "--profile",
        "tiny",
    ]
    environment = {**os.environ, **warm, "GPUS": "0", "PYTHONPATH": str(REPOSITORY)}
    environment.pop("MMVISIONLLAMA_DATA", None)
    options = dict(capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    done = subprocess.run([*command, "--out", "out"], **options)
    assert done.returncode == 0, done.stderr
    assert "2 of 2: test visionllama_small_in1k_gap, in " in done.stdout
    assert "Could not import" not in done.stdout  # what the hosts print is no part of the answer
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMVISIONLLAMA_DATA", raising=False)
    assert main("reproduce", "table7", "--report", "--profile", "tiny", "--out", "out") == 0
    (row,) = [
        x for x in (tmp_path / "out/report.md").read_text().splitlines() if "mean pooling | top-1 | 81.8" in x
    ]
    assert row.endswith("| 1 (0) |")
