"""The DigitScenes configs run on the data that their command writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvisionllama.datasets.digitscenes import write_digitscenes
from tests.tools.commands import logged_losses, run

MODELS = ["visionllama_tiny", "pyramid_visionllama_tiny", "vit_tiny"]
SHORTENED = [
    *(f"{split}_dataloader.num_workers=0" for split in ("train", "val", "test")),
    *(f"{split}_dataloader.persistent_workers=False" for split in ("train", "val", "test")),
    "train_dataloader.batch_size=8",
    "train_cfg.max_iters=12",
    "train_cfg.val_interval=6",
    "param_scheduler.0.end=2",
    "param_scheduler.1.begin=2",
    "param_scheduler.1.end=12",
    "default_hooks.logger.interval=1",
    "log_processor.window_size=1",
]


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    base = tmp_path_factory.mktemp("data")
    write_digitscenes(base / "digitscenes", num_train=40, num_val=20, layouts=["seg"], workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMVISIONLLAMA_DATA", str(base))
        yield


@pytest.mark.parametrize("model", MODELS)
def test_training_lowers_the_loss_and_is_evaluated_and_drawn(model: str, tmp_path: Path) -> None:
    config = f"configs/seg/{model}_upernet_digitscenes.py"
    assert run("train", config, "--work-dir", tmp_path, "--cfg-options", *SHORTENED) == 0
    losses = list(logged_losses(tmp_path).values())
    facts = json.loads((tmp_path / "summary.json").read_text())
    assert losses[-1] < losses[0]
    assert facts["status"] == "finished"
    assert facts["last_step"] == 12
    assert facts["last"]["aAcc"] > 50  # four in five pixels are background
    assert (tmp_path / "predictions.png").is_file()
