"""A dry run makes a few steps, says what the whole training would take, and leaves nothing behind."""

import re
from pathlib import Path

import pytest
import torch

from mmvisionllama.training.dry_run import DryRun
from tests.tools.commands import TOY, run

LONG = {"train_cfg.max_iters": 9000, "train_cfg.val_interval": 1000}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log_of(capfd: pytest.CaptureFixture[str]) -> str:
    return "".join(capfd.readouterr())


def test_it_reports_the_whole_training_and_leaves_nothing(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("train", TOY, "--dry-run", **LONG) == 0
    log = log_of(capfd)
    assert list(here.iterdir()) == []
    assert re.search(r"Dry run: the loss is [\d.]+; nothing of this run is kept", log)
    assert re.search(r"memory of a process: [\d.]+ GiB at its peak, of it weights .*, optimizer ", log)
    assert re.search(r"time: [\d.e-]+ s a step, .* for all 9,000", log)
    assert re.search(r"validation: .* for 4 batches, 9 times", log)
    assert re.search(r"in all: about .*; a checkpoint has about ", log)
    assert "WITHOUT GRADIENT" not in log
    assert len(re.findall(r"Iter\(train\)", log)) <= 3
    assert "Iter(val)" not in log


def test_parameters_that_no_gradient_reaches_are_named(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    unused = {"model.type": "ToyWithSpare"}
    assert run("train", TOY, "--dry-run", **LONG, **unused) == 0
    assert "WITHOUT GRADIENT: spare.bias, spare.weight" in log_of(capfd)


def test_a_training_shorter_than_a_dry_run_ends_by_itself(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("train", TOY, "--dry-run", **{"train_cfg.max_iters": 1}) == 0
    assert "for all 1" in log_of(capfd)


def test_a_loss_that_is_not_finite_fails(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", TOY, "--dry-run", **LONG, **{"optim_wrapper.optimizer.lr": float("inf")}) == 2
    assert "error: --dry-run: the loss is nan" in log_of(capfd)


def test_what_cannot_be_trained_is_refused_as_without_it(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("train", TOY, "--dry-run", **{"model.backbone.width": 7}) == 2
    assert "width must be even" in log_of(capfd)
    assert list(here.iterdir()) == []


def test_the_work_directory_of_a_run_is_not_touched(here: Path) -> None:
    assert run("train", TOY, "--work-dir", "run") == 0
    before = sorted((x, x.stat().st_mtime_ns) for x in here.rglob("*"))
    assert run("train", TOY, "--work-dir", "run", "--resume", "--dry-run", **LONG) == 0
    assert sorted((x, x.stat().st_mtime_ns) for x in here.rglob("*")) == before


def test_a_training_that_is_finished_has_no_step_to_try(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("train", TOY, "--work-dir", "run") == 0
    assert run("train", TOY, "--work-dir", "run", "--resume", "--dry-run") == 2
    assert "error: --dry-run: no step is left of this training" in log_of(capfd)


def test_the_estimate_adds_all_steps_and_all_validations() -> None:
    held = dict(weights=1 << 30, gradients=1 << 30, optimizer=2 << 30)
    found = DryRun(0.5, 2.0, 1000, 8 << 30, held, val_seconds=0.5, val_batches=10, validations=4)
    assert found.seconds == 2.0 * 1000 + 0.5 * 10 * 4
    text = "\n".join(found.lines())
    assert "8 GiB at its peak, of it weights 1 GiB, gradients 1 GiB, optimizer 2 GiB" in text
    assert "in all: about 34 min; a checkpoint has about 3 GiB" in text
    assert ("GPU memory" in text) == torch.cuda.is_available()
