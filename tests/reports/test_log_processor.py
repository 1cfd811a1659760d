"""Log lines of validations."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmvisionllama.training.runner import ResumableRunner


@MODELS.register_module(force=True)
class FallingLoss(BaseModel):
    """Its loss is 8 divided by the training steps before."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, inputs: Tensor, mode: str) -> dict | list:
        if mode == "loss":
            self.steps += 1
            return {"loss": self.weight.sum() + 8 / self.steps.sum()}
        return [BaseDataElement(pred=0, loss=(8 / self.steps).item()) for _ in inputs]


@DATASETS.register_module("FourZeros", force=True)
def four_zeros() -> list[dict[str, Tensor]]:
    return [{"inputs": torch.zeros(1)}] * 4


@pytest.mark.parametrize("kind", ["denoising", "reconstruction"])
def test_a_validation_logs_its_own_loss_and_no_mean_over_past_ones(kind: str, tmp_path: Path) -> None:
    metric = {"denoising": "DenoisingLoss", "reconstruction": "ReconstructionLoss"}[kind]
    data = dict(dataset=dict(type="FourZeros"), batch_size=2)
    shuffled, ordered = (dict(data, sampler=dict(type="DefaultSampler", shuffle=x)) for x in (True, False))
    cfg = dict(
        model=dict(type="FallingLoss"),
        work_dir=str(tmp_path),
        train_dataloader=shuffled,
        val_dataloader=ordered,
        train_cfg=dict(by_epoch=False, max_iters=8, val_interval=2),
        val_cfg=dict(),
        val_evaluator=dict(type=f"mmvisionllama.{metric}"),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)),
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=1, log_metric_by_epoch=False), checkpoint=None
        ),
        log_processor=dict(by_epoch=False),
        experiment_name=f"own_values_{kind}",
    )
    ResumableRunner.from_cfg(Config(cfg)).train()
    (scalars,) = tmp_path.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    logged = [line[f"{kind}/loss"] for line in lines if f"{kind}/loss" in line]
    assert logged == [4, 2, pytest.approx(4 / 3), 1]
    (log,) = tmp_path.glob("*/*.log")
    assert f"{kind}/loss: 2.0000" in log.read_text()
    # Every line of a training tells its speed; there is no MFU on a CPU.
    trained = [line for line in log.read_text().splitlines() if "Iter(train)" in line]
    assert len(trained) == 8
    assert all(re.search(r"memory: \d+  \S+ images/s  \d+ % waiting for data", line) for line in trained)
    assert {"images_per_second", "waiting_percent"} <= lines[0].keys()
    assert "MFU" not in log.read_text()
    # In the training, mmengine's smoothing stays.
    assert lines[1]["loss"] == pytest.approx((8 + 4) / 2)
