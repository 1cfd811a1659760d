import json
from pathlib import Path

import pytest

from mmvisionllama.benchmark import ModelSpec, Setting, Timing, measure, parse_model
from tests.tools.commands import REPOSITORY, main


def test_a_model_is_read_from_a_call_with_literal_arguments() -> None:
    text = "mmpretrain.SVT(arch='small', out_indices=(0, 1))"
    assert parse_model(text) == ModelSpec(text, dict(type="mmpretrain.SVT", arch="small", out_indices=(0, 1)))


def test_components_of_a_call_may_be_written_as_in_a_config() -> None:
    text = "mmvisionllama.VisionLLaMA(attn=dict(qk_norm=dict(type='RMSNorm', eps=1e-6)), window=dict())"
    attn = dict(qk_norm=dict(type="RMSNorm", eps=1e-6))
    assert parse_model(text).model == dict(type="mmvisionllama.VisionLLaMA", attn=attn, window={})


def test_a_model_is_read_from_the_backbone_of_a_config() -> None:
    spec = parse_model(str(REPOSITORY / "configs/seg/visionllama_upernet_ade20k.py"))
    assert spec.model["type"] == "mmvisionllama.VisionLLaMA"


VITDET = "configs/toy/visionllama_tiny_vitdet_digitscenes.py"


def test_options_after_a_config_change_its_model() -> None:
    plain, changed = parse_model(VITDET), parse_model(f"{VITDET} model.backbone.with_cp=True")
    assert "with_cp" not in plain.model
    assert changed.model["with_cp"] is True


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("configs/toy/visionllama_tiny_digitscenes.py", "only detectors are measured as a whole"),
        ("mmpretrain.SVT(arch='small')", "is a backbone; a whole model is that of a config file"),
        (f"{VITDET} with_cp", "options of .*: expected KEY=VALUE, got 'with_cp'"),
    ],
)
def test_what_is_no_whole_model_is_an_error_that_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_model(text, whole=True)


def test_a_detector_is_measured_with_its_losses_with_and_without_recomputed_activations() -> None:
    subjects = [parse_model(VITDET, whole=True)]
    subjects.append(parse_model(f"{VITDET} model.backbone.with_cp=True", whole=True))
    figures = measure(subjects, Setting("train", (64, 96), 2, threads=1, amp=True), rounds=2, warmup=0)
    assert figures[0].parameters == figures[1].parameters > 1e6
    assert [len(figure.seconds) for figure in figures] == [2, 2]


@pytest.mark.parametrize(
    "text",
    [
        "DeiT3",
        "DeiT3('small')",
        "DeiT3(arch=x)",
        "A(b=dict(1))",
        "A(b=set(c=1))",
        "A(**b)",
        "DeiT3(arch=",
        "1",
    ],
)
def test_an_unreadable_model_is_an_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read the model"):
        parse_model(text)


def test_rates_are_compared_round_by_round() -> None:
    slow, fast = Timing([2.0, 6.0, 40.0]), Timing([1.0, 2.0, 10.0])
    assert fast.rate_against(slow) == (2.5, 3, 3.5)
    assert slow.images_per_second(batch=12) == 2


def test_a_failing_model_is_named_with_its_error() -> None:
    setting = Setting("forward", (32, 32), 1, threads=1)
    with pytest.raises(RuntimeError, match=r"VisionLLaMA\(arch='tinny'\) failed.*Did you mean 'tiny'"):
        measure([parse_model("mmvisionllama.VisionLLaMA(arch='tinny')")], setting, rounds=1)


def test_the_tool_reports_rate_memory_and_parameters_of_every_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "mmvisionllama.VisionLLaMA(arch='tiny', patch_size=8)"
    numbers = dict(size=48, batch=2, rounds=2, warmup=1, threads=1)
    options = [part for name, number in numbers.items() for part in (f"--{name}", str(number))]
    out = ["--modes", "forward", "--out", tmp_path / "out.json"]
    assert main("benchmark", text, text.replace("8", "16"), *options, *out) == 0
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [result["mode"] for result in results] == ["forward", "forward"]
    assert all(result["images_per_second"] > 0 and result["memory"] > 0 for result in results)
    assert results[0]["ratio"] == 1
    assert results[0]["parameters"] < results[1]["parameters"]  # larger patches have larger kernels
    assert "forward, 48 x 48 px, batch 2, cpu, eager" in capsys.readouterr().out
