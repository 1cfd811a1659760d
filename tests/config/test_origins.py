"""Each value of a resolved config is traced to the line that says it, or to the option that changed it."""

import ast
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmvisionllama.config import ConfigError, RunConfig, read_config
from mmvisionllama.config.config_files import checkout
from tests.configs.shipped import NAMES

BASE = """\
scale = 7
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999)),
    paramwise_cfg=dict(custom_keys={"layers.0": dict(lr_mult=2.0)}),
)
train_cfg = dict(by_epoch=False, max_iters=3 * scale)
val_dataloader = dict(batch_size=4, num_workers=0)
test_dataloader = val_dataloader
param_scheduler = [dict(type="LinearLR", end=5), dict(type="CosineAnnealingLR", begin=5)]
_pinned = dict(pin_memory=False)
"""
LEAF = """\
_base_ = "base.py"
optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=1.0))
val_dataloader = dict(batch_size=8, **_base_._pinned)
test_dataloader = val_dataloader
shared = dict(persistent_workers=False)
train_dataloader = dict(batch_size=2, **shared)
randomness = dict(seed=_base_.scale)
"""
EXPECTED = {
    "optim_wrapper.optimizer.lr": "leaf.py:2",
    "optim_wrapper.optimizer.type": "base.py:3",
    "optim_wrapper.optimizer.betas": "base.py:3",
    "optim_wrapper.clip_grad.max_norm": "leaf.py:2",
    "optim_wrapper.paramwise_cfg.custom_keys.layers.0.lr_mult": "base.py:4",
    "train_cfg.max_iters": "base.py:6",
    "val_dataloader.batch_size": "leaf.py:3",
    "val_dataloader.pin_memory": "base.py:10",
    "val_dataloader.num_workers": "base.py:7",
    "test_dataloader.batch_size": "leaf.py:3",
    "test_dataloader.num_workers": "base.py:7",
    "train_dataloader.batch_size": "leaf.py:6",
    "train_dataloader.persistent_workers": "leaf.py:5",
    "param_scheduler.1.begin": "base.py:9",
    "randomness.seed": "base.py:1",
}


@pytest.fixture
def leaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "leaf.py").write_text(LEAF)
    return Config.fromfile(tmp_path / "leaf.py")


@pytest.mark.parametrize(("path", "origin"), EXPECTED.items())
def test_a_value_comes_from_the_line_that_says_it(leaf: Config, path: str, origin: str) -> None:
    assert RunConfig(leaf).origins()[path] == origin


def test_an_option_is_the_origin_of_what_it_changed(leaf: Config) -> None:
    options = {"optim_wrapper.optimizer.lr": 5.0, "param_scheduler.1": dict(type="StepLR", step_size=3)}
    config = RunConfig(leaf)
    for path, value in options.items():
        assert config.assign(path, value, "--cfg-options") == []
    origins = config.origins()
    changed = {path for path, origin in origins.items() if origin == "--cfg-options"}
    assert changed == {
        "optim_wrapper.optimizer.lr",
        *(f"param_scheduler.1.{key}" for key in ("type", "step_size", "begin")),
    }


def test_what_is_set_by_an_option_comes_from_that_option(leaf: Config) -> None:
    config = RunConfig(leaf)
    config.set("launcher", "pytorch", "--launcher")
    config.set("randomness.seed", 9, "--seed")
    origins = config.origins()
    assert (origins["launcher"], origins["randomness.seed"]) == ("--launcher", "--seed")
    assert (leaf.launcher, leaf.randomness.seed) == ("pytorch", 9)


def test_of_what_a_function_changes_only_the_new_values_come_from_its_option(leaf: Config) -> None:
    config = RunConfig(leaf)
    with config.changed_by("--amp") as cfg:
        cfg.optim_wrapper = dict(cfg.optim_wrapper, type="AmpOptimWrapper")
    origins = config.origins()
    assert origins["optim_wrapper.type"] == "--amp"
    assert origins["optim_wrapper.optimizer.lr"] == "leaf.py:2"


def test_the_latest_option_is_the_origin(leaf: Config) -> None:
    config = RunConfig(leaf)
    config.set("randomness", dict(seed=1, deterministic=True), "--cfg-options")
    config.set("randomness.seed", 2, "--seed")
    origins = config.origins()
    assert origins["randomness.seed"] == "--seed"
    assert origins["randomness.deterministic"] == "--cfg-options"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("randomness.sed", 1, "did you mean 'seed'"),
        ("randomness.seed", "one", "randomness.seed: takes a whole number of at least 0 or None, got 'one'"),
        ("compil", True, "there is no setting 'compil'; did you mean 'compile'"),
    ],
)
def test_what_is_set_after_the_file_is_checked_too(leaf: Config, path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(leaf).set(path, value, "an option")


def test_what_a_function_changes_is_checked_too(leaf: Config) -> None:
    config = RunConfig(leaf)
    said = pytest.raises(ConfigError, match=r"optim_wrapper\.optimizer\.lr: takes a number")
    with said, config.changed_by("--global-batch 64") as cfg:
        cfg.optim_wrapper.optimizer.lr = "high"


def test_a_value_that_the_file_changes_further_down_is_said_to_be_changed(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text("randomness = dict(seed=1)\nrandomness['seed'] = 2\n")
    config = read_config(tmp_path / "c.py")
    assert config.origins()["randomness.seed"] == f"{tmp_path / 'c.py'}:1, changed below it"
    assert config.origins()["work_dir"] == "the config's name"


def test_the_file_holds_every_value_with_its_origin(leaf: Config, tmp_path: Path) -> None:
    config = RunConfig(leaf)
    lines = config.write_origins(tmp_path / "work").read_text().splitlines()
    assert "optim_wrapper.optimizer.lr = 0.002  # leaf.py:2" in lines
    assert "train_cfg.max_iters = 21  # base.py:6" in lines
    assert len(lines) == 1 + len(config.origins())


def _value_at(value: Any, path: str) -> Any:
    """Follow a key path; a key such as ``head.fc.weight`` has dots itself."""
    if not path:
        return value
    key = next(x for x in value if path == x or path.startswith(f"{x}.")) if isinstance(value, dict) else None
    if key is None:
        number, _, rest = path.partition(".")
        return _value_at(value[int(number)], rest)
    return _value_at(value[key], path[len(key) + 1 :])


@pytest.mark.parametrize("name", NAMES[::9])
def test_every_value_of_a_shipped_config_is_traced_to_a_line_that_mentions_it(name: str) -> None:
    config = read_config(name)
    cfg, origins = config.cfg, config.origins()
    assert origins.pop("work_dir") == "the config's name"
    assert origins.pop("model._scope_", "the package of the base") == "the package of the base"
    for path, origin in origins.items():
        file, _, rest = origin.partition(":")
        number, _, moved = rest.partition(",")
        assert moved in ("", " moved to where the data are")
        line = (checkout() / file).read_text().splitlines()[int(number) - 1]
        value = _value_at(dict(cfg.items()), path)
        if isinstance(value, str) and not moved:
            assert value in line, (path, origin)
        elif isinstance(value, (int, float)):
            assert any(value == x for x in _numbers(line)) or set("*/") & set(line), (path, origin, line)


def _numbers(line: str) -> list[float]:
    words = line.replace("=", " ").replace("(", " ").replace(")", " ").replace(",", " ")
    found = []
    for word in words.replace("[", " ").replace("]", " ").split():
        try:
            found.append(ast.literal_eval(word))
        except (ValueError, SyntaxError):
            continue
    return found
