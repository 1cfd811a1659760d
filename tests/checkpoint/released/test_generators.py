"""From converted weights of DiT into the generators of the configs."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmvisionllama.checkpoint import convert_file
from mmvisionllama.checks.checkpoint import check_pretrained
from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from tests.checkpoint.released.test_transfer import convert, safe_reading, started_from
from tests.generation.released import Replay
from tests.models.released import Case, load_case
from tests.tools.commands import REPOSITORY

__all__ = ["safe_reading"]  # a fixture that every test here uses
DIT = load_case("dit_llama")


def generator_of(case: Case, **options: Any) -> Config:
    spec = case.spec["constructor"]
    arch = dict(embed_dims=spec["hidden_size"], num_layers=spec["depth"], num_heads=spec["num_heads"])
    sizes = {key: spec[key] for key in ("patch_size", "input_size", "num_classes")}
    options |= {f"model.network.{key}": value for key, value in sizes.items()}
    options["model.network.arch"] = dict(_delete_=True, **arch)
    return load_config(REPOSITORY / "configs/gen/dit_visionllama_base_p4_in1k_256.py", options)


def test_a_generator_goes_on_from_the_weights_of_the_release(tmp_path: Path) -> None:
    torch.save({"ema": DIT.weights, "model": DIT.weights}, tmp_path / "dit.pt")
    path = str(tmp_path / "dit.safetensors")
    convert_file(tmp_path / "dit.pt", path, family="dit", known=dict(num_heads=4))
    model, notes = started_from(generator_of(DIT), path)
    assert notes == []
    DIT.check("forward", model.network(*(DIT.inputs[key] for key in "xty")))


def test_a_network_alone_becomes_that_of_a_generator(tmp_path: Path) -> None:
    path = convert(DIT, tmp_path)
    given = {"model.network.init_cfg": dict(type="Pretrained", checkpoint=path)}
    cfg = generator_of(DIT, **given)
    model = build_model(cfg)
    assert check_pretrained(model, cfg) == []
    model.init_weights()
    DIT.check("forward", model.network.eval()(*(DIT.inputs[key] for key in "xty")))


@torch.no_grad()
def test_a_converted_generator_samples_as_the_original_with_guidance() -> None:
    model = DIT.model(family="dit", sampler=dict(steps=5), guidance=dict(scale=4.0))
    draw = Replay(DIT.inputs["x"], *(noise.chunk(2)[0] for noise in DIT.inputs["ddpm_noise"]))
    predict = model.guidance.bind(model.network, DIT.inputs["y"])
    sample = model.sampler.sample(model.objective, predict, draw)
    wanted = DIT.outputs["ddpm_cfg"].chunk(2)[0]
    torch.testing.assert_close(sample, wanted, atol=DIT.atol["ddpm_cfg"], rtol=0)
