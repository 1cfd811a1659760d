"""Trainings of generators that go on: the same weights, the same average, the same samples."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from tests.inference.models import write_config
from tests.tools.commands import run

SIT = "configs/toy/sit_visionllama_tiny_digits.py"
SCALED = {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.loss_scale": "dynamic"}


def train(config: Path, work_dir: Path, steps: int, *options: str) -> None:
    lengths = [f"train_cfg.max_iters={steps}", "train_cfg.val_interval=3", "unchecked=[param_scheduler]"]
    given = ["default_hooks.checkpoint.interval=3", "model.sampler.steps=2", *lengths]
    assert run("train", config, "--work-dir", work_dir, *options, "--cfg-options", *given) == 0


def samples(config: Path, checkpoint: Path, out: Path, *options: str) -> dict[str, bytes]:
    given = ["--out", out, "--num", "10", "--steps", "2", *options]
    assert run("sample", config, checkpoint, *given) == 0
    return {path.name: path.read_bytes() for path in out.glob("0*.png")}


def test_a_resumed_training_ends_in_the_samples_of_an_undisturbed_one(tmp_path: Path) -> None:
    config = write_config("generation", tmp_path)
    train(config, tmp_path / "whole", 6)
    train(config, tmp_path / "halves", 3)
    train(config, tmp_path / "halves", 6, "--resume")
    files = [tmp_path / name / "iter_6.pth" for name in ("whole", "halves")]
    whole, halves = map(read_checkpoint, files)
    assert int(whole["ema_state_dict"]["steps"]) == int(halves["ema_state_dict"]["steps"]) == 6
    steps = [int(x["optimizer"]["state"][0]["step"]) for x in (whole, halves)]
    assert steps == [6, 6]
    for part in ("state_dict", "ema_state_dict"):
        for name, value in whole[part].items():
            assert torch.equal(value, halves[part][name]), name
    for options in ([], ["--raw"]):
        drawn = [samples(config, x, tmp_path / f"{i}{options}", *options) for i, x in enumerate(files)]
        assert drawn[0] == drawn[1]
        assert len(set(drawn[0].values())) > 1


def test_a_config_with_a_loss_scale_for_fp16_is_accepted() -> None:
    cfg = load_config(SIT, SCALED)
    assert cfg.optim_wrapper.type == "AmpOptimWrapper"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="mmengine's AmpOptimWrapper wants a GPU")
def test_the_optimizer_of_fp16_scales_its_loss() -> None:
    cfg = load_config(SIT, SCALED)
    wrapper = build_optim_wrapper(build_model(cfg), cfg.optim_wrapper)
    assert wrapper.loss_scaler.get_scale() > 1
