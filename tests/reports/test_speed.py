"""Speed in bars and log lines, and FLOPs against those that are known."""

import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmvisionllama.reports import flops
from mmvisionllama.reports.flops import PEAKS, flops_of_image, peak_of
from mmvisionllama.reports.speed import speed_of, waiting_hint


class TwoLayers(BaseModel):
    """Two linear layers after a batch norm and dropout, the second one behind a with_cp."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.BatchNorm1d(8), nn.Linear(8, 16), nn.Linear(16, 4)
        self.with_cp = True

    def forward(self, inputs: list[Tensor], data_samples: list, mode: str) -> dict[str, Tensor]:
        x = nn.functional.dropout(self.first(self.norm(torch.stack(inputs))))
        y = (
            torch.utils.checkpoint.checkpoint(self.second, x, use_reentrant=False)
            if self.with_cp
            else self.second(x)
        )
        return {"loss": y.sum()}


@pytest.mark.parametrize("of_a_step", [False, True])
def test_flops_are_those_of_forward_and_backward_and_nothing_stays(of_a_step: bool) -> None:
    model = TwoLayers()
    model.first.weight.grad = kept = torch.ones(16, 8)
    before, random = model.norm.running_mean.clone(), torch.get_rng_state()
    batch = dict(inputs=[torch.randn(8) for _ in range(6)], data_samples=[None] * 6)
    random = torch.get_rng_state()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    found = flops_of_image(model, [batch, batch] if of_a_step else batch, wrapper)
    # A multiplication with its addition: two. Gradients of weights and of inputs cost as much each.
    assert found == 2 * 3 * (8 * 16 + 16 * 4)
    assert model.first.weight.grad is kept
    assert model.second.weight.grad is None
    assert model.with_cp
    assert torch.equal(model.norm.running_mean, before)
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H200", 989.5),
        ("Tesla T4", 65),
        ("NVIDIA A10G", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("NVIDIA H100 80GB HBM3 MIG 2g.20gb", None),
        ("another", None),
    ],
)
def test_only_a_whole_gpu_of_the_table_has_a_peak(name: str, half: float | None) -> None:
    peak = peak_of(name)
    assert (peak and peak.half) == half


def test_peaks_fall_with_precision() -> None:
    assert all(peak.half >= peak.tf32 >= peak.float32 for peak in PEAKS.values())


def runner_with(seconds: float, data: float, workers: int, **info: float) -> SimpleNamespace:
    def buffer(value: float) -> HistoryBuffer:
        return HistoryBuffer([value], [1])

    hub = SimpleNamespace(
        log_scalars={"train/time": buffer(seconds), "train/data_time": buffer(data)}, runtime_info=info
    )
    loop = SimpleNamespace(dataloader=SimpleNamespace(batch_size=8, num_workers=workers))
    cfg = dict(train_dataloader={})
    return SimpleNamespace(
        message_hub=hub, built_loops={"train": loop}, world_size=2, cfg=cfg, optim_wrapper=None
    )


def test_waiting_for_data_names_what_to_change_from_a_tenth_on() -> None:
    assert speed_of(runner_with(0.5, 0.05, 0), "train").facts() == ["32 images/s", "10 % waiting for data"]
    slow = speed_of(runner_with(0.5, 0.1, 0), "train")
    assert slow.facts()[1] == "20 % waiting for data (raise train_dataloader.num_workers, now 0)"
    assert slow.scalars() == {"images_per_second": 32, "waiting_percent": pytest.approx(20)}
    assert "smaller images" in waiting_hint("train", len(os.sched_getaffinity(0)))


def test_utilisation_is_the_flops_of_a_second_over_the_peak_of_all_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = runner_with(0.5, 0.0, 2, flops_of_image=1e12)
    assert speed_of(runner, "train").mfu is None  # there is no GPU
    monkeypatch.setattr(flops, "_peak", lambda: peak_of("NVIDIA A100-SXM4-80GB"))
    monkeypatch.setattr(flops, "_wrappers", lambda runner: ["BFloat16OptimWrapper"])
    found = speed_of(runner, "train")
    assert found.mfu == pytest.approx(16e12 / 0.5 / (2 * 312e12))
    assert "5.13 % MFU" in found.facts()
    runner.message_hub.runtime_info["flops_of_image"] = None
    assert speed_of(runner, "train").mfu is None
