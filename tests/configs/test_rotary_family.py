"""The study of the rotary family: one component at a time, at equal parameters."""

from collections.abc import Mapping

import pytest

from mmvisionllama.experiments import study as studies
from mmvisionllama.experiments.study import Run, load_study
from tests.configs.shipped import ROOT, build

MNIST, DIGITSCENES = (ROOT / f"configs/study/rotary_family_{name}.py" for name in ("mnist", "digitscenes"))


@pytest.fixture(scope="module")
def runs() -> Mapping[str, Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "config_hash", lambda cfg: "")
        return {run.name: run for run in load_study(MNIST).runs}


def test_all_models_have_as_many_parameters_within_half_a_percent(runs: Mapping[str, Run]) -> None:
    counts = {
        name: sum(x.numel() for x in build(run.read_config()).parameters()) for name, run in runs.items()
    }
    base = counts["as2drope"]
    assert {name: n for name, n in counts.items() if abs(n / base - 1) > 0.005} == {}
    assert len({*counts.values()}) > 1


def test_each_run_changes_one_component_and_nothing_but_its_decay(runs: Mapping[str, Run]) -> None:
    parts = {
        name: {key.removeprefix("model.backbone.") for key in run.options if key.startswith("model.")}
        for name, run in runs.items()
    }
    assert all(
        key.startswith("model.backbone.") or key.endswith(".decay_mult") or key == "custom_hooks"
        for run in runs.values()
        for key in run.options
    )
    assert parts.pop("as2drope") == set()
    assert parts.pop("table") == {"rope", "pos_embed"}  # the one in the place of the other
    assert all(len(changed) == 1 for changed in parts.values()), parts


def test_both_data_sets_have_the_same_runs() -> None:
    files = [studies.Config.fromfile(file) for file in (MNIST, DIGITSCENES)]
    one, other = ({name: run.get("options") for name, run in file.runs.items()} for file in files)
    assert one == other and files[0].metric == files[1].metric and files[0].seeds == files[1].seeds
