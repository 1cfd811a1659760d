import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.registry import MODELS
from tests.models.released import Case, load_case
from tests.tools.commands import main, parser_of

VITDET, DIT = load_case("vitdet"), load_case("dit_llama")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.save(VITDET.weights, "vitdet.pth")
    ema = {key: x / 2 for key, x in DIT.weights.items()}
    torch.save({"ema": ema, "model": DIT.weights, "args": Namespace(model="DiTLLaMA_B_4")}, "dit.pt")
    return tmp_path


def test_the_command_line_is_frozen() -> None:
    actions = parser_of("convert_checkpoint")._actions
    names = sorted(name for action in actions for name in action.option_strings or [action.dest])
    options = ["--accept-license", "--family", "--force", "--help", "--part", "--set", "-h"]
    assert names == [*options, "source", "target"]


def test_what_weights_do_not_tell_is_set_by_the_names_of_the_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["num_heads=3", "window.size=4", "window.global_blocks=[1]", "out_indices=[0,1,2]"]
    assert main("convert_checkpoint", "vitdet.pth", "new/ours.safetensors", "--set", *options) == 0
    check(VITDET, "new/ours")
    out = capsys.readouterr().out
    assert "mae_dense: mmvisionllama.VisionLLaMA, 0.07 M values" in out
    assert "left out: pos_embed (a table of positions that the released code never adds)" in out


def check(case: Case, stem: str) -> None:
    model = MODELS.build(json.loads(Path(f"{stem}.json").read_text())["model"])
    model.load_state_dict(read_checkpoint(f"{stem}.safetensors")["state_dict"], strict=True)
    for index, output in enumerate(model.eval()(case.inputs["x"])):
        case.check(f"feat{index}", output)


@pytest.mark.parametrize(("part", "factor"), [([], 0.5), (["--part", "model"], 1.0)])
def test_the_moving_average_is_taken_unless_the_raw_weights_are_asked_for(
    part: list[str], factor: float
) -> None:
    assert main("convert_checkpoint", "dit.pt", "a.safetensors", *part, "--set", "num_heads=4") == 0
    facts, weights = json.loads(Path("a.json").read_text()), read_checkpoint("a.safetensors")["state_dict"]
    assert facts["family"] == "dit"  # as the options in the file say
    assert set(facts["report"]) == {"args", "model" if factor == 0.5 else "ema", "pos_embed"}
    expected = factor * DIT.weights["final_layer.linear.weight"]
    assert torch.equal(weights["network.head.linear.weight"], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vitdet.pt", "a.safetensors"], "nearest files there: vitdet.pth"),
        (["vitdet.pth", "a.safetensors"], "give num_heads"),
        (["vitdet.pth", "a.pth"], "name it *.safetensors"),
        (["vitdet.pth", "taken.safetensors", "--set", "num_heads=3"], "taken.safetensors exists"),
        (["vitdet.pth", "a.safetensors", "--family", "mae_dens"], "Did you mean 'mae_dense'"),
        (["vitdet.pth", "a.safetensors", "--set", "num_head=3"], "Did you mean 'num_heads'"),
        (["vitdet.pth", "a.safetensors", "--part", "ema"], "no part 'ema'"),
    ],
)
def test_what_cannot_be_converted_ends_with_one_message_and_leaves_no_trace(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("taken.safetensors").write_text("mine")
    before = sorted(path.name for path in here.iterdir())
    assert main("convert_checkpoint", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert sorted(path.name for path in here.iterdir()) == before
    assert Path("taken.safetensors").read_text() == "mine"
