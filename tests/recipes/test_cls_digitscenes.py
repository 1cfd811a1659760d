"""DigitScenes classification and pre-training end to end, on data that the preparing command writes."""

import json
from pathlib import Path

import pytest

from tests.recipes.digitscenes import shortened, written
from tests.tools.commands import IN_PROCESS, logged_losses, run, summary

STEPS = 8  # two an epoch

data = written("cls", num_train=40)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["visionllama_tiny", "pyramid_visionllama_tiny"])
def test_a_classifier_trains_is_evaluated_and_drawn_and_its_confusions_are_shown(
    model: str, tmp_path: Path
) -> None:
    config = f"configs/toy/{model}_digitscenes.py"
    options = shortened("max_iters", STEPS, batch_size=20)
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
    config = "configs/toy/visionllama_tiny_mae_digitscenes.py"
    options = shortened("max_epochs", STEPS // 2, batch_size=20)
    assert run("train", config, "--work-dir", tmp_path, "--cfg-options", *options) == 0
    losses = list(logged_losses(tmp_path).values())
    facts = summary(tmp_path)
    assert losses[-1] < losses[0]
    assert facts["last"]["reconstruction/loss"] > 0
    assert (tmp_path / "predictions.png").is_file()
