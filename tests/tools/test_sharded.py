import json
import os
from pathlib import Path

import pytest

from mmvisionllama.checkpoint import verify
from mmvisionllama.checkpoint.__main__ import main as checkpoint_main
from tests.tools.commands import TOY, log_text, logged_losses, run, run_in_two, summary

WRAPPER = "model_wrapper_cfg.type=mmvisionllama.ShardedDataParallel"
UNITS = "model_wrapper_cfg.units=[ToyBackbone]"
HALF = "train_dataloader.batch_size=2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of three steps of two processes that share the model; tests must not change it."""
    folder = tmp_path_factory.mktemp("sharded")
    run_in_two("train", TOY, "--work-dir", "run", "--cfg-options", HALF, WRAPPER, UNITS, folder=folder)
    return folder / "run"


def test_two_processes_that_share_the_model_have_the_losses_of_one(trained: Path, tmp_path: Path) -> None:
    assert run("train", TOY, "--work-dir", tmp_path / "alone") == 0
    assert logged_losses(trained) == pytest.approx(logged_losses(tmp_path / "alone"), rel=1e-5)


def test_a_merged_checkpoint_is_tested_as_any_other(trained: Path, tmp_path: Path) -> None:
    sharded, merged = trained / "iter_3.sharded", tmp_path / "iter_3.pth"
    assert verify(sharded).problem is None
    assert checkpoint_main(["merge", str(sharded), str(merged)]) == 0
    for checkpoint in (merged, sharded):
        out = tmp_path / f"{checkpoint.suffix}.json"
        assert run("test", TOY, checkpoint, "--work-dir", tmp_path / "test", "--out", out) == 0
        expected = pytest.approx(summary(trained)["last"]["error"], rel=1e-5)
        assert json.loads(out.read_text())["metrics"]["error"] == expected


def test_one_process_goes_on_from_what_two_have_shared(trained: Path, tmp_path: Path) -> None:
    os.symlink(trained / "iter_3.sharded", tmp_path / "iter_3.sharded")
    assert run("train", TOY, "--work-dir", tmp_path, "--resume", **{"train_cfg.max_iters": 5}) == 0
    assert logged_losses(tmp_path).keys() == {4, 5}
    assert "Saved by 2 processes, resumed by 1" in log_text(tmp_path)
