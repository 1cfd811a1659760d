"""Files of studies: what they may say, and what is refused before any training starts."""

from pathlib import Path

import pytest

from mmvisionllama.errors import ConfigError
from mmvisionllama.experiments import study as studies
from mmvisionllama.experiments.study import load_study
from tests.tools.commands import TOY

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "configs" / "study").glob("*.py"))


def write(folder: Path, **settings: object) -> Path:
    """Write a study's file of a metric, two seeds and one run, changed by ``settings``."""
    content = dict(metric="error", seeds=[0, 1], runs=dict(one=dict(config=str(TOY)))) | settings
    file = folder / "toys.py"
    lines = [f"{key} = {value!r}" for key, value in content.items() if value is not None]
    file.write_text('"""Toys beside one another.\n\nMore about them.\n"""\n' + "\n".join(lines))
    return file


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_study_is_readable_and_says_how_it_is_run(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "config_hash", lambda cfg: "")  # to format a config takes most of the time
    study = load_study(file)
    assert len(study.seeds) >= 3
    assert f"tools/study.py {file.relative_to(ROOT)}" in file.read_text()


def test_runs_come_after_the_preparations_and_are_named_by_their_key(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        preparations=dict(first=dict(config=str(TOY))),
        runs=dict(one=dict(config=str(TOY), load_from="first"), two=dict(config=str(TOY), label="the other")),
        reach=0.9,
    )
    study = load_study(file)
    assert [(x.name, x.label, x.load_from, x.compared) for x in study.runs] == [
        ("first", "first", None, False),
        ("one", "one", "first", True),
        ("two", "the other", None, True),
    ]
    assert (study.name, study.title, study.seeds, study.reach) == (
        *("toys", "Toys beside one another", (0, 1), 0.9),
    )


def test_seeds_of_the_command_take_the_place_of_the_files(tmp_path: Path) -> None:
    assert load_study(write(tmp_path), [7]).seeds == (7,)


def test_names_with_an_underscore_only_help_to_write_the_file(tmp_path: Path) -> None:
    assert len(load_study(write(tmp_path, _common="anything")).runs) == 1


def test_options_change_the_config_of_a_run_alone(tmp_path: Path) -> None:
    rate = {"optim_wrapper.optimizer.lr": 0.5}
    runs = dict(one=dict(config=str(TOY)), fast=dict(config=str(TOY), options=rate))
    one, fast = load_study(write(tmp_path, runs=runs)).runs
    assert (
        fast.read_config().optim_wrapper.optimizer.lr == 0.5 != one.read_config().optim_wrapper.optimizer.lr
    )
    assert (one.options, fast.options) == ({}, rate) and one.sha256 != fast.sha256


TOY_RUN = dict(config=str(TOY))
WRONG = {
    "unknown key": (dict(metrics="error"), "does not take 'metrics'. Did you mean 'metric'?"),
    "missing key": (dict(metric=None), "lacks metric"),
    "no metric": (dict(metric=[]), "metric is a name or several, got []"),
    "no run": (dict(runs={}), "runs is empty"),
    "unknown key of a run": (
        dict(runs=dict(one=TOY_RUN | dict(labl="x"))),
        "one does not take 'labl'. Did you mean 'label'?",
    ),
    "run without config": (dict(runs=dict(one={})), "one lacks config"),
    "share of more than all": (dict(reach=1.5), "reach is a share in (0, 1), got 1.5"),
    "seed twice": (dict(seeds=[1, 1]), "seeds are distinct whole numbers, got [1, 1]"),
    "no seeds": (dict(seeds=[]), "seeds are distinct whole numbers, got []"),
    "seed that is no number": (dict(seeds=["a"]), "seeds are distinct whole numbers, got ['a']"),
    "unknown preparation": (
        dict(preparations=dict(first=TOY_RUN), runs=dict(one=TOY_RUN | dict(load_from="frist"))),
        "load_from 'frist' is no preparation. Did you mean 'first'? There are: first",
    ),
    "name used twice": (dict(preparations=dict(one=TOY_RUN)), "one is both a preparation and a run"),
    "options without keys": (
        dict(runs=dict(one=TOY_RUN | dict(options=["lr=1"]))),
        "one: options are values by",
    ),
    "unknown option": (
        dict(runs=dict(one=TOY_RUN | dict(options={"optim_wrapper.optimizer.lrr": 1}))),
        "toys.py: one: ",
    ),
    "missing config": (dict(runs=dict(one=dict(config="configs/cls/nothing.py"))), "no config"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_study_is_an_error_that_names_the_place(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_study(write(tmp_path, **settings))
    assert message in str(error.value)


def test_a_typo_in_a_config_of_a_study_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    config = tmp_path / "typo.py"
    config.write_text(f"_base_ = {str(TOY)!r}\noptim_wrapper = dict(optimizer=dict(lrr=1))\n")
    with pytest.raises(ConfigError, match=r"toys\.py: one: .*typo\.py cannot be used:(.|\n)*'lrr'"):
        load_study(write(tmp_path, runs=dict(one=dict(config=str(config)))))
