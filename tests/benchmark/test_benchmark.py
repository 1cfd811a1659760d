import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama.benchmark import Measurement, Setting, measure, parse_model

REPOSITORY = Path(__file__).parents[2]


def test_a_model_is_read_from_a_call_with_literal_arguments() -> None:
    text = "mmpretrain.SVT(arch='small', out_indices=(0, 1))"
    assert parse_model(text) == dict(type="mmpretrain.SVT", arch="small", out_indices=(0, 1))


def test_a_model_is_read_from_the_backbone_of_a_config() -> None:
    model = parse_model(str(REPOSITORY / "configs/seg/visionllama_upernet_ade20k.py"))
    assert model["type"] == "mmvisionllama.VisionLLaMA"


@pytest.mark.parametrize("text", ["DeiT3", "DeiT3('small')", "DeiT3(arch=x)", "DeiT3(arch=", "1"])
def test_an_unreadable_model_is_an_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read the model"):
        parse_model(text)


def test_rates_are_compared_round_by_round() -> None:
    slow, fast = Measurement(1, [2.0, 6.0, 40.0], 0), Measurement(1, [1.0, 2.0, 10.0], 0)
    assert fast.rate_against(slow) == (2.5, 3, 3.5)
    assert slow.images_per_second(batch=12) == 2


def test_a_failing_model_is_named_with_its_error() -> None:
    setting = Setting("forward", (32, 32), 1, threads=1)
    with pytest.raises(RuntimeError, match=r"'arch': 'tinny'.*Did you mean 'tiny'"):
        measure([dict(type="mmvisionllama.VisionLLaMA", arch="tinny")], setting, rounds=1)


def test_the_tool_reports_rate_memory_and_parameters_of_every_model(tmp_path: Path) -> None:
    text = "mmvisionllama.VisionLLaMA(arch='tiny', patch_size=8)"
    command = [sys.executable, str(REPOSITORY / "tools/benchmark.py"), text, text.replace("8", "16")]
    numbers = dict(size=48, batch=2, rounds=2, warmup=1, threads=1)
    options = [part for name, number in numbers.items() for part in (f"--{name}", str(number))]
    out = ["--out", str(tmp_path / "out.json")]
    done = subprocess.run([*command, *options, *out], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [result["mode"] for result in results] == ["forward", "forward", "train", "train"]
    assert all(result["images_per_second"] > 0 and result["memory"] > 0 for result in results)
    assert results[0]["ratio"] == 1
    assert results[0]["parameters"] < results[1]["parameters"]  # larger patches have larger kernels
    assert "train, 48 x 48 px, batch 2, cpu, eager" in done.stdout
