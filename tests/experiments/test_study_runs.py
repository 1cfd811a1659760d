"""The trainings of a study: their order, what is not repeated, and what a failure leaves."""

import json
import sys
from pathlib import Path

import pytest

from mmvisionllama.config.option_values import parse_options
from mmvisionllama.errors import StudyError
from mmvisionllama.experiments.study import load_study
from mmvisionllama.experiments.study_runs import Job, plan_jobs, run_study
from tests.experiments.test_study import write
from tests.tools.commands import TOY

# Takes the place of tools/train.sh: notes how it was called, and leaves what a finished training leaves.
TRAINING = """
import json, os, sys
from pathlib import Path
options = sys.argv[1:]
work_dir = Path(options[options.index("--work-dir") + 1])
facts = dict(name=work_dir.name, options=options, threads=os.environ["OMP_NUM_THREADS"])
with (work_dir.parent / "calls").open("a") as calls:
    calls.write(json.dumps(facts) + "\\n")
print("a training of", work_dir.name)
if (work_dir.parent / f"{work_dir.name}.fails").exists():
    sys.exit("out of luck")
summary = dict(status="finished", steps=3, planned_steps=3, last_checkpoint=str(work_dir / "last.pth"))
(work_dir / "summary.json").write_text(json.dumps(summary))
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("mmvisionllama.experiments.study_runs._POLL_SECONDS", 0.02)
    (tmp_path / "training.py").write_text(TRAINING)
    return [sys.executable, str(tmp_path / "training.py")]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def plan(folder: Path, out: Path, seeds: list[int] | None = None, **settings: object) -> list[Job]:
    """Plan a preparation and two runs, of which the first starts from it."""
    runs = dict(after=dict(config=str(TOY), load_from="before"), alone=dict(config=str(TOY)))
    defaults = dict(preparations=dict(before=dict(config=str(TOY))), runs=runs, seeds=[0])
    return plan_jobs(load_study(write(folder, **defaults | settings), seeds), out)


def calls(out: Path) -> list[dict]:
    file = out / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_every_run_is_trained_with_every_seed_in_a_folder_of_its_own(
    tmp_path: Path, out: Path, command: list[str]
) -> None:
    run_study(plan(tmp_path, out, seeds=[3, 5]), command)
    trained = {x["name"]: x["options"][x["options"].index("--seed") + 1] for x in calls(out)}
    assert trained == {f"{name}_seed{x}": str(x) for name in ("before", "after", "alone") for x in (3, 5)}


def test_a_run_starts_from_the_last_checkpoint_of_its_preparation(
    tmp_path: Path, out: Path, command: list[str]
) -> None:
    run_study(plan(tmp_path, out), command, parallel=3)
    options = {x["name"]: x["options"] for x in calls(out)}
    assert list(options).index("before_seed0") < list(options).index("after_seed0")
    assert options["after_seed0"][-2:] == ["--cfg-options", f"load_from={out / 'before_seed0' / 'last.pth'}"]
    assert "--cfg-options" not in options["alone_seed0"]


def test_options_of_a_run_reach_its_training_as_they_are_and_are_recorded(
    tmp_path: Path, out: Path, command: list[str]
) -> None:
    given = {
        "optim_wrapper.optimizer.lr": 1e-05,
        "optim_wrapper.clip_grad": dict(max_norm=1.0),
        "log_level": "INFO",
        "load_from": None,
    }
    run_study(plan(tmp_path, out, runs=dict(changed=dict(config=str(TOY), options=given))), command)
    options = calls(out)[-1]["options"]
    assert parse_options(options[options.index("--cfg-options") + 1 :]) == given
    assert json.loads((out / "changed_seed0/study_run.json").read_text())["options"] == given
    assert "options" not in json.loads((out / "before_seed0/study_run.json").read_text())


def test_trainings_at_a_time_share_the_cores(
    tmp_path: Path, out: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    most: list[int] = []
    run_study(
        plan(tmp_path, out), command, parallel=2, progress=lambda jobs, running: most.append(len(running))
    )
    assert {x["threads"] for x in calls(out)} == {"4"}
    assert max(most) <= 2


def test_what_is_finished_is_not_trained_again(tmp_path: Path, out: Path, command: list[str]) -> None:
    run_study(plan(tmp_path, out), command)
    run_study(plan(tmp_path, out, seeds=[0, 1]), command)
    assert sorted(x["name"] for x in calls(out)[3:]) == ["after_seed1", "alone_seed1", "before_seed1"]


def test_an_interrupted_training_is_resumed(tmp_path: Path, out: Path, command: list[str]) -> None:
    jobs = plan(tmp_path, out)
    run_study(jobs, command)
    (out / "alone_seed0" / "summary.json").write_text('{"status": "interrupted", "steps": 1}')
    run_study(jobs, command)
    (again,) = calls(out)[3:]
    assert again["name"] == "alone_seed0"
    assert again["options"][-2:] == ["--resume", "auto"]


def test_folders_of_another_config_are_named_and_left_alone_unless_forced(
    tmp_path: Path, out: Path, command: list[str]
) -> None:
    run_study(plan(tmp_path, out), command)
    changed = tmp_path / "changed.py"
    changed.write_text(f"_base_ = {str(TOY)!r}\noptim_wrapper = dict(optimizer=dict(lr=0.5))\n")
    jobs = plan(tmp_path, out, preparations=dict(before=dict(config=str(changed))))
    with pytest.raises(StudyError, match=r"before_seed0\n.*after_seed0$"):  # it started from the other
        run_study(jobs, command)
    assert len(calls(out)) == 3
    run_study(jobs, command, force=True)
    assert [x["name"] for x in calls(out)[3:]] == ["before_seed0", "after_seed0"]
    assert not any("--resume" in x["options"] for x in calls(out)[3:])


def test_a_failure_is_shown_with_its_last_words_and_the_rest_is_trained(
    tmp_path: Path, out: Path, command: list[str]
) -> None:
    (out / "before_seed0.fails").touch()
    with pytest.raises(StudyError) as error:
        run_study(plan(tmp_path, out), command)
    text = str(error.value)
    assert "before, seed 0 failed:\n  a training of before_seed0\n  out of luck" in text
    assert "after, seed 0 failed:\nneeds before, seed 0" in text
    assert {x["name"] for x in calls(out)} == {"before_seed0", "alone_seed0"}
    (out / "before_seed0.fails").unlink()
    run_study(plan(tmp_path, out), command)
    assert [x["name"] for x in calls(out)[2:]] == ["before_seed0", "after_seed0"]


def test_a_config_that_changes_while_a_study_runs_is_not_trained_under_its_old_name(
    tmp_path: Path, out: Path, command: list[str]
) -> None:
    config = tmp_path / "edited.py"
    config.write_text(f"_base_ = {str(TOY)!r}\n")
    jobs = plan(tmp_path, out, runs=dict(edited=dict(config=str(config))))
    config.write_text(f"_base_ = {str(TOY)!r}\noptim_wrapper = dict(optimizer=dict(lr=0.5))\n")
    with pytest.raises(StudyError, match=r"edited\.py has changed since the study began"):
        run_study(jobs, command)
    assert [x["name"] for x in calls(out)] == ["before_seed0"]
