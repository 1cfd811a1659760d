"""DigitScenes segmentation end to end, on data that the preparing command writes."""

from pathlib import Path

import pytest

from tests.recipes.digitscenes import shortened, written
from tests.tools.commands import logged_losses, run, summary

MODELS = ["visionllama_tiny", "pyramid_visionllama_tiny", "vit_tiny"]
data = written("seg", num_train=40)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_training_lowers_the_loss_and_is_evaluated_and_drawn(model: str, tmp_path: Path) -> None:
    config = f"configs/toy/{model}_upernet_digitscenes.py"
    options = shortened("max_iters", 8, batch_size=6)
    assert run("train", config, "--work-dir", tmp_path, "--cfg-options", *options) == 0
    losses = list(logged_losses(tmp_path).values())
    facts = summary(tmp_path)
    assert losses[-1] < losses[0]
    assert facts["status"] == "finished"
    assert facts["last_step"] == 8
    assert facts["last"]["aAcc"] > 50  # four in five pixels are background
    assert (tmp_path / "predictions.png").is_file()
