"""Each value of a resolved config is traced to the line that says it, or to the option that changed it."""

import ast
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvisionllama.config import load_config
from mmvisionllama.config.finding import repository_root
from mmvisionllama.config.origins import origins_of, write_origins
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
"""
LEAF = """\
_base_ = "base.py"
optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=1.0))
val_dataloader = dict(batch_size=8)
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
    assert origins_of(leaf)[path] == origin


def test_an_option_is_the_origin_of_what_it_changed(leaf: Config) -> None:
    options = {"optim_wrapper.optimizer.lr": 5.0, "param_scheduler.1": dict(type="StepLR", step_size=3)}
    leaf.merge_from_dict(options)
    origins = origins_of(leaf, options)
    changed = {path for path, origin in origins.items() if origin == "--cfg-options"}
    assert changed == {
        "optim_wrapper.optimizer.lr",
        *(f"param_scheduler.1.{key}" for key in ("type", "step_size", "begin")),
    }


def test_what_the_command_sets_is_told_apart_from_the_files(leaf: Config) -> None:
    leaf.launcher = "pytorch"
    leaf.randomness.seed = 9
    leaf.optim_wrapper.optimizer.type = "Lamb"
    origins = origins_of(leaf)
    assert (origins["launcher"], origins["randomness.seed"]) == ("--launcher", "--seed")
    assert origins["optim_wrapper.optimizer.type"] == "the command"


def test_the_file_holds_every_value_with_its_origin(leaf: Config, tmp_path: Path) -> None:
    lines = write_origins(leaf, {}, tmp_path / "work").read_text().splitlines()
    assert "optim_wrapper.optimizer.lr = 0.002  # leaf.py:2" in lines
    assert "train_cfg.max_iters = 21  # base.py:6" in lines
    assert len(lines) == 1 + len(origins_of(leaf))


@pytest.mark.parametrize("name", NAMES[::9])
def test_every_value_of_a_shipped_config_is_traced_to_a_line_that_mentions_it(name: str) -> None:
    cfg = load_config(name)
    origins = origins_of(cfg)
    assert origins.pop("work_dir") == "--work-dir, else the config's name"
    assert origins.pop("model._scope_", "the package of the base") == "the package of the base"
    for path, origin in origins.items():
        file, _, rest = origin.partition(":")
        number, _, moved = rest.partition(",")
        assert moved in ("", " moved to where the data are")
        line = (repository_root() / file).read_text().splitlines()[int(number) - 1]
        keys = path.split(".")
        value = cfg
        for key in keys:
            value = value[int(key) if key.isdigit() else key]
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
