"""Learning rates as drawn are those that real trainings have logged."""

import itertools
import json
import math
from pathlib import Path

import pytest

from mmvisionllama.analysis.rates import Rates, rates_of
from mmvisionllama.checkpoint.names import TINY
from mmvisionllama.errors import ConfigError, LaunchError, UserError

CASES = {  # trainings of the models in the package, with the options that made them
    "visionllama_tiny_digitscenes": {},
    "pyramid_visionllama_tiny_maskrcnn_digitscenes_narrow": dict(epoch_steps=375),
    "sit_visionllama_tiny_mnist": dict(steps=1000),
    "visionllama_tiny_mae_digitscenes": dict(steps=1410, epoch_steps=94),
}


def logged(name: str) -> dict[int, float]:
    """Return step -> rate of a real training."""
    lines = [
        json.loads(x) for x in (TINY / name.replace("_", "-") / "training.jsonl").read_text().splitlines()
    ]
    return {x["iter"] if "iter" in x else x["step"]: x["lr"] for x in lines if "lr" in x}


@pytest.fixture(scope="module", autouse=True)
def without_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMVISIONLLAMA_DATA", str(tmp_path_factory.mktemp("no_data")))
        yield


@pytest.mark.parametrize("name", CASES)
def test_drawn_rates_are_those_that_a_training_logged(name: str) -> None:
    rates, known = rates_of(f"toy/{name}", **CASES[name]), logged(name)
    assert len(known) >= 10
    (curve,) = rates.curves
    for step, rate in known.items():
        assert math.isclose(curve[step - 1], rate, rel_tol=1e-9), (step, curve[step - 1], rate)


@pytest.fixture(scope="module")
def by_depth() -> Rates:
    return rates_of("cls/visionllama_mae_finetune_in1k", epoch_steps=10, steps=200)


def test_rates_by_depth_fall_by_the_decay_from_block_to_block(by_depth: Rates) -> None:
    peaks = {x.name: by_depth.peak_of(x) for x in by_depth.parts}
    assert all(low == high for low, high in peaks.values())
    # Those whose rate lies above the 1e-6 at which the cosine ends; the rates of lower blocks rise to that.
    blocks = [peaks[f"backbone.blocks.{i}"][0] for i in range(5, 12)]
    ratios = [a / b for a, b in itertools.pairwise(blocks)]
    assert ratios == pytest.approx([0.45] * 6)  # MAE's fine-tuning of a base model
    assert blocks[-1] / peaks["head"][0] == pytest.approx(0.45)
    assert peaks["backbone.blocks.0"][0] == pytest.approx(1e-6, rel=1e-2)
    assert len(by_depth.curves) == 14
    assert {x for part in by_depth.parts for x in part.decays} == {0.0, 0.05}
    assert "trial of 200 of the recipe's 1,000 steps" in by_depth.remarks[0]
    assert len(by_depth.plot().axes) >= 2


def test_the_moments_of_a_schedule_are_named(by_depth: Rates) -> None:
    names = [name for name, _, _ in by_depth.rows()]
    assert names[:2] == ["first step", "highest"]
    assert names[-1] == "last step"
    told = by_depth.to_dict()
    assert (told["steps"], len(told["at"]), len(told["curves"])) == (200, 200, 14)


def test_a_larger_batch_scales_the_rate() -> None:
    plain, large = (
        rates_of("cls/visionllama_small_in1k", epoch_steps=2, global_batch=x).curves.max()
        for x in (None, 4096)
    )
    base = 2048
    assert large / plain == pytest.approx(4096 / base)


def test_epochs_without_data_want_a_length_and_what_trains_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist(.|\n)*--epoch-steps how many steps"):
        rates_of("cls/visionllama_small_in1k")
    with pytest.raises(LaunchError, match="expected 1 to 1500"):
        rates_of("toy/visionllama_tiny_digitscenes", steps=1501)
    with pytest.raises(UserError, match="no config 'toy/nothing"):
        rates_of("toy/nothing")
    (tmp_path / "bare.py").write_text("model = dict(type='ImageClassifier')\n")
    with pytest.raises(UserError):
        rates_of(str(tmp_path / "bare.py"))
