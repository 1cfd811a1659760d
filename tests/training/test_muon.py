"""Muon for matrices and AdamW for the rest: torch's own steps, groups, and an exact way back."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmvisionllama.models.visionllama import VisionLLaMA
from mmvisionllama.training.muon import MuonWithAdamW
from tests.configs.shipped import build, load
from tests.fault_tolerance.resume_cases import differences, left_by, stopped_and_resumed, training

OPTIONS = dict(lr=1e-2, weight_decay=0.05)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 2), nn.Flatten(), nn.Linear(16, 6), nn.LayerNorm(6), nn.Linear(6, 2))


def trained(model: nn.Module, *optimizers: torch.optim.Optimizer, steps: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        model.zero_grad()
        model(torch.randn(5, 1, 3, 3, generator=generator)).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
    return list(model.parameters())


def test_steps_equal_those_of_torchs_muon_and_adamw_side_by_side() -> None:
    apart, together = network(), network()
    matrices = [x for x in apart.parameters() if x.ndim == 2]
    others = [x for x in apart.parameters() if x.ndim != 2]
    muon = torch.optim.Muon(matrices, **OPTIONS, adjust_lr_fn="match_rms_adamw")
    expected = trained(apart, muon, torch.optim.AdamW(others, **OPTIONS))
    found = trained(together, MuonWithAdamW(together.parameters(), **OPTIONS))
    assert all(torch.equal(x, y) for x, y in zip(expected, found, strict=True))
    assert not torch.equal(found[2], network()[2].weight)


def test_a_group_without_muon_is_adamws_and_groups_keep_their_rates() -> None:
    model = network()
    groups = [
        dict(params=model[:4].parameters(), lr=1.0, name="body"),
        dict(params=model[4].parameters(), muon=False),
    ]
    found = MuonWithAdamW(groups, **OPTIONS).param_groups
    assert [(x["lr"], x["muon"], len(x["params"])) for x in found] == [
        (1.0, True, 1),
        (1.0, False, 5),
        (1e-2, False, 2),
    ]
    assert {x.get("name") for x in found} == {"body", None}


@pytest.mark.parametrize("way", ["state_dict", "deepcopy"])
def test_a_restored_optimizer_goes_on_bit_for_bit(way: str) -> None:
    model = network()
    optimizer = MuonWithAdamW(model.parameters(), **OPTIONS)
    trained(model, optimizer)
    if way == "deepcopy":
        again, other = copy.deepcopy((model, optimizer))
    else:
        again = copy.deepcopy(model)
        other = MuonWithAdamW(again.parameters(), lr=1.0)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as from a file
    expected, found = trained(model, optimizer), trained(again, other)
    assert all(torch.equal(x, y) for x, y in zip(expected, found, strict=True))


def test_a_stopped_training_with_muon_resumes_bit_for_bit(tmp_path: Path) -> None:
    kind = dict(optimizer="mmvisionllama.MuonWithAdamW")
    whole = training(tmp_path / "whole", **kind)
    whole.train()
    runners = stopped_and_resumed(tmp_path / "stopped", dict(train=3), **kind)
    assert isinstance(whole.optim_wrapper.optimizer, MuonWithAdamW)
    assert differences(left_by(whole), left_by(runners[-1])) == []


def test_the_recipe_gives_muon_every_matrix_but_the_classifiers() -> None:
    cfg = load("configs/toy/visionllama_tiny_digitscenes_muon.py")
    model = build(cfg)
    init_default_scope(cfg.default_scope)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    by_muon = {id(x) for group in groups if group["muon"] for x in group["params"]}
    linear = {name for name, x in model.named_modules() if isinstance(x, nn.Linear)} - {"head.fc"}
    assert {name for name, x in model.named_parameters() if id(x) in by_muon} == {
        f"{x}.weight" for x in linear
    }


def test_rates_by_depth_hold_for_muon_and_adamw() -> None:
    arch = dict(embed_dims=8, num_layers=2, num_heads=2)
    model = VisionLLaMA(arch, img_size=32, out_type="avg_featmap")
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type="mmvisionllama.MuonWithAdamW", **OPTIONS),
            constructor="mmvisionllama.LayerDecayOptimWrapperConstructor",
            paramwise_cfg=dict(layer_decay_rate=0.5, flat_decay_mult=0.0),
        ),
    )
    rate = {id(x): (g["lr"], g["muon"]) for g in wrapper.optimizer.param_groups for x in g["params"]}
    first, second = model.blocks
    assert rate[id(first.attn.qkv.weight)] == (pytest.approx(1e-2 / 4), True)
    assert rate[id(second.attn.qkv.weight)] == (pytest.approx(1e-2 / 2), True)
    assert rate[id(second.norm1.weight)] == (pytest.approx(1e-2 / 2), False)
