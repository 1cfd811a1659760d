"""train() and test() as calls in a program or a notebook."""

import json
from pathlib import Path

import pytest

import mmvisionllama
from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.errors import CheckpointError, ConfigError
from tests.tools.commands import IN_PROCESS, TOY

OPTIONS = dict(option.split("=") for option in IN_PROCESS) | {"experiment_name": None}


def options(**changes: object) -> dict[str, object]:
    plain = {key: {"0": 0, "False": False}[value] for key, value in OPTIONS.items() if value is not None}
    return {**plain, **changes}


def test_a_training_returns_its_last_metrics(tmp_path: Path) -> None:
    metrics = mmvisionllama.train(TOY, work_dir=tmp_path / "run", cfg_options=options())
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert metrics == summary["last"]
    assert summary["status"] == "finished"


def test_two_trainings_in_one_process_and_one_second_are_two(tmp_path: Path) -> None:
    for name in ("one", "two"):
        mmvisionllama.train(TOY, work_dir=tmp_path / name, seed=5, cfg_options=options())
    one, two = (read_checkpoint(next(iter((tmp_path / x).glob("iter_*.pth")))) for x in ("one", "two"))
    lengths = [len(x["message_hub"]["log_scalars"]["train/loss"]["history"]) for x in (one, two)]
    assert lengths[0] == lengths[1] > 0
    for name, weight in one["state_dict"].items():
        assert weight.equal(two["state_dict"][name]), name


def test_a_training_goes_on_where_the_one_before_has_ended(tmp_path: Path) -> None:
    short = options(**{"train_cfg.max_iters": 2})
    mmvisionllama.train(TOY, work_dir=tmp_path, cfg_options=short)
    mmvisionllama.train(TOY, work_dir=tmp_path, resume=True, cfg_options=options())
    logs = "".join(path.read_text() for path in tmp_path.glob("*/*.log"))
    assert "Resumed at step 2 of 3" in logs


def test_a_test_returns_the_metrics_that_it_writes(tmp_path: Path) -> None:
    mmvisionllama.train(TOY, work_dir=tmp_path, cfg_options=options())
    checkpoint = next(iter(tmp_path.glob("iter_*.pth")))
    out = tmp_path / "metrics.json"
    metrics = mmvisionllama.test(TOY, checkpoint, work_dir=tmp_path, out=out, cfg_options=options())
    assert json.loads(out.read_text())["metrics"] == metrics


def test_the_origins_name_the_options_that_set_a_value(tmp_path: Path) -> None:
    mmvisionllama.train(
        TOY, work_dir=tmp_path, seed=7, cfg_options=options(**{"optim_wrapper.optimizer.lr": 0.5})
    )
    (file,) = tmp_path.glob("*_origins.txt")
    lines = file.read_text().splitlines()
    assert "randomness.seed = 7  # --seed" in lines
    assert "optim_wrapper.optimizer.lr = 0.5  # --cfg-options" in lines
    assert any(line.startswith("work_dir = ") and line.endswith("# --work-dir") for line in lines)


def test_what_is_wrong_is_an_error_before_the_work_directory_exists(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        mmvisionllama.train(TOY, work_dir=tmp_path / "run", cfg_options={"train_cfg.max_itres": 3})
    with pytest.raises(CheckpointError, match="does not exist"):
        mmvisionllama.train(TOY, work_dir=tmp_path / "run", resume=tmp_path / "iter_1.pth")
    assert not (tmp_path / "run").exists()
