import json
from pathlib import Path

import pytest
import torch

from mmvisionllama.benchmark.sampling_speed import network_of, same_size_transformer
from tests.tools.commands import main

CONFIG = "configs/gen/dit_visionllama_base_p4_in1k_256.py"
SMALL = "model.network.arch=dict(embed_dims=32,num_layers=2,num_heads=2) model.network.input_size=8"


def test_the_peer_has_the_size_of_the_network() -> None:
    network = network_of(f"{CONFIG} model.network.arch=small")
    with torch.device("meta"):
        peer = same_size_transformer(network)
    assert (peer.inner_dim, len(peer.transformer_blocks), peer.config.patch_size) == (384, 12, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("configs/toy/visionllama_tiny_digits.py", "its model is no generator"),
        (f"{CONFIG} model.network.input_size=[8,16]", "square inputs and 1,000 classes, got 8 x 16"),
    ],
)
def test_what_cannot_be_compared_is_an_error_that_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        same_size_transformer(network_of(text))


def test_the_tool_draws_by_both_in_turn_and_reports_their_rates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--sample", "2", "--cfg-scale", "4", "--batch", "2", "--rounds", "2", "--threads", "1"]
    out = tmp_path / "out.json"
    assert main("benchmark", f"{CONFIG} {SMALL}", *options, "--device", "cpu", "--out", out) == 0
    results = json.loads(out.read_text())["results"]
    assert {x["way"]: len(x["seconds"]) for x in results} == {"ours": 2, "diffusers": 2}
    assert "2 steps of DDIM, guidance 4, batch 2" in capsys.readouterr().out
