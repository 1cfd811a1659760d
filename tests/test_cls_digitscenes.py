"""The classification and pre-training configs of DigitScenes run on the data that their command writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvisionllama.datasets.digitscenes import write_digitscenes
from tests.tools.commands import IN_PROCESS, logged_losses, run, summary

STEPS = 12  # two an epoch


def shortened(length: str, number: int) -> list[str]:
    """Give the options that make a training a few steps long; ``length`` is what its schedule counts in."""
    return [
        *IN_PROCESS,
        "train_dataloader.batch_size=20",
        f"train_cfg.{length}={number}",
        f"train_cfg.val_interval={number}",
        "param_scheduler.0.end=2",
        "param_scheduler.1.begin=2",
        f"param_scheduler.1.end={number}",
        "default_hooks.logger.interval=1",
        "log_processor.window_size=1",
    ]


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    base = tmp_path_factory.mktemp("data")
    write_digitscenes(base / "digitscenes", num_train=40, num_val=20, layouts=["cls"], workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMVISIONLLAMA_DATA", str(base))
        yield


@pytest.mark.parametrize("model", ["visionllama_tiny", "pyramid_visionllama_tiny"])
def test_a_classifier_trains_is_evaluated_and_drawn_and_its_confusions_are_shown(
    model: str, tmp_path: Path
) -> None:
    config = f"configs/cls/{model}_digitscenes.py"
    options = shortened("max_iters", STEPS)
    assert run("train", config, "--work-dir", tmp_path / "train", "--cfg-options", *options) == 0
    losses = list(logged_losses(tmp_path / "train").values())
    facts = summary(tmp_path / "train")
    assert losses[-1] < losses[0]
    assert facts["status"] == "finished"
    assert 0 <= facts["last"]["accuracy/top1"] <= 100
    assert (tmp_path / "train/predictions.png").is_file()

    out = tmp_path / "metrics.json"
    test = ["--work-dir", tmp_path / "test", "--out", out, "--cfg-options", *IN_PROCESS]
    assert run("test", config, facts["last_checkpoint"], *test) == 0
    metrics = json.loads(out.read_text())["metrics"]
    assert metrics["accuracy/top1"] == pytest.approx(facts["last"]["accuracy/top1"])
    assert (tmp_path / "test/confusion.png").is_file()


def test_masked_pretraining_lowers_the_loss_and_draws_reconstructions(tmp_path: Path) -> None:
    config = "configs/pretrain/visionllama_tiny_mae_digitscenes.py"
    options = shortened("max_epochs", STEPS // 2)
    assert run("train", config, "--work-dir", tmp_path, "--cfg-options", *options) == 0
    losses = list(logged_losses(tmp_path).values())
    facts = summary(tmp_path)
    assert losses[-1] < losses[0]
    assert facts["last"]["reconstruction/loss"] > 0
    assert (tmp_path / "predictions.png").is_file()
