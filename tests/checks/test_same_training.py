"""A resume with another optimizer, schedule or batch: refused before training, or applied."""

import shutil
from pathlib import Path

import pytest

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.checks.same_training import remark_on_other_data
from mmvisionllama.config import load_config
from tests.tools.commands import TOY, log_text, logged_losses, run


def cosine(length: int) -> dict:
    schedule = dict(type="CosineAnnealingLR", by_epoch=False, T_max=length, end=length)
    return {"train_cfg.max_iters": length, "param_scheduler": [schedule]}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with the checkpoints after steps 3 and 6 of a training of 6."""
    folder = tmp_path_factory.mktemp("original") / "run"
    assert run("train", TOY, "--work-dir", folder, **cosine(6)) == 0
    return folder


@pytest.fixture
def begun(original: Path, tmp_path: Path) -> Path:
    """The same, killed between."""
    folder = tmp_path / "run"
    shutil.copytree(original, folder)
    for file in folder.glob("*_6.pth*"):
        file.unlink()
    return folder


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("optim_wrapper.optimizer.lr", 0.02, "0.01 in the checkpoint, 0.02 in the config"),
        ("optim_wrapper.optimizer.weight_decay", 0.5, "0.01 in the checkpoint, 0.5 in the config"),
        ("optim_wrapper.optimizer.betas", (0.9, 0.95), "[0.9, 0.999] in the checkpoint, [0.9, 0.95] in the"),
        ("optim_wrapper.optimizer.type", "Adam", "'AdamW' in the checkpoint, 'Adam' in the config"),
        ("optim_wrapper.paramwise_cfg.bias_lr_mult", 2, "None in the checkpoint, 2 in the config"),
        ("train_dataloader.batch_size", 8, "4 in the checkpoint, 8 in the config"),
        ("optim_wrapper.accumulative_counts", 2, "1 in the checkpoint, 2 in the config"),
        ("auto_scale_lr.base_batch_size", 8, "None in the checkpoint, 8 in the config"),
    ],
)
def test_another_optimizer_or_batch_is_refused_in_one_line_before_training(
    key: str, value: object, told: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(begun.rglob("*"))
    assert run("train", TOY, "--work-dir", begun, "--resume", **cosine(6), **{key: value}) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: --resume goes on with optimizer and global batch of ")
    assert f"{key}: {told}" in error
    assert f"load_from={begun / 'iter_3.pth'} without --resume" in error
    assert sorted(begun.rglob("*")) == before


def test_what_says_the_same_in_other_words_is_no_difference(begun: Path, original: Path) -> None:
    same = {
        "optim_wrapper.optimizer.betas": [0.9, 0.999],
        "optim_wrapper.optimizer.type": "mmengine.AdamW",
        "auto_scale_lr.base_batch_size": 4,
    }
    assert run("train", TOY, "--work-dir", begun, "--resume", **cosine(6), **same) == 0
    assert "weights, optimizer, schedules, logged history" in log_text(begun)
    expected = logged_losses(original)
    assert logged_losses(begun) == {step: expected[step] for step in (4, 5, 6)}


def test_other_data_than_those_of_the_checkpoint_are_said(original: Path) -> None:
    checkpoint = read_checkpoint(original / "iter_3.pth")
    cfg = load_config(TOY)
    assert remark_on_other_data(checkpoint, "iter_3.pth", cfg) == []
    cfg.train_dataloader.num_workers = 3
    assert remark_on_other_data(checkpoint, "iter_3.pth", cfg) == []
    cfg.train_dataloader.dataset.length = 99
    (note,) = remark_on_other_data(checkpoint, "iter_3.pth", cfg)
    assert "goes on with other data than iter_3.pth" in note
    assert "train_dataloader.dataset.length: " in note and "99 in the config" in note


def test_a_longer_training_goes_on_by_its_longer_schedule(begun: Path, tmp_path: Path) -> None:
    """The rates are those that a training of this length has there from its beginning."""
    assert run("train", TOY, "--work-dir", begun, "--resume", **cosine(9)) == 0
    assert "the run goes on as the new one is at step 3" in log_text(begun)
    assert "weights, optimizer, schedules of the config, logged history" in log_text(begun)
    assert run("train", TOY, "--work-dir", tmp_path / "whole", **cosine(9)) == 0
    whole, resumed = (read_checkpoint(x / "iter_9.pth") for x in (tmp_path / "whole", begun))
    rates = [x["message_hub"]["log_scalars"]["train/lr"]["history"].tolist() for x in (whole, resumed)]
    assert rates[1][-6:] == rates[0][-6:]
    assert whole["param_schedulers"] == resumed["param_schedulers"]
    assert len(set(rates[0])) == 9
