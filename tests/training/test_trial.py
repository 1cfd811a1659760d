"""``--steps N``: a short trial of a recipe, in which everything that counts keeps its proportion."""

from pathlib import Path
from typing import Any

import pytest

from mmvisionllama.checks.schedules import check_schedules
from mmvisionllama.config import RunConfig, read_config
from mmvisionllama.config.checker import check_config
from mmvisionllama.datasets.digitscenes import write_digitscenes
from mmvisionllama.errors import ConfigError, LaunchError
from mmvisionllama.training import trial
from mmvisionllama.training.trial import make_trial, steps_of_epoch
from tests.tools.commands import REPOSITORY, TOY, log_text, logged_losses, run, summary

OF_A_TASK = {
    "cls": ("visionllama_tiny_digits", 1500),
    "MAE": ("visionllama_tiny_mae_digitscenes", 2820),
    "seg": ("visionllama_tiny_upernet_digitscenes", 1450),
    "Mask R-CNN": ("pyramid_visionllama_tiny_maskrcnn_digitscenes", 1125),
    "ViTDet": ("visionllama_tiny_vitdet_digitscenes", 1125),
    "DiT": ("dit_visionllama_tiny_digits", 3000),
    "SiT": ("sit_visionllama_tiny_digits", 3000),
}


def toy(**options: Any) -> RunConfig:
    config = read_config(TOY, options)
    config.set("launcher", "none", "--launcher")
    return config


@pytest.mark.parametrize("steps", [1, 30])
@pytest.mark.parametrize("task", OF_A_TASK)
def test_a_recipe_of_every_task_shrinks_to_a_sound_one(
    task: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, total = OF_A_TASK[task]
    config = read_config(REPOSITORY / "configs" / "toy" / f"{name}.py")
    epochs = config.cfg.train_cfg.get("max_epochs", 1)
    monkeypatch.setattr(trial, "steps_of_epoch", lambda cfg: total // epochs)
    assert f"a trial of {steps} of the recipe's {total:,} steps" in make_trial(config, steps)
    cfg = config.cfg
    assert check_config(cfg) == []
    check_schedules(cfg)
    assert cfg.train_cfg.max_iters == steps
    assert "max_epochs" not in cfg.train_cfg
    assert -(-steps // 4) <= cfg.train_cfg.val_interval <= steps
    ends = [x.end for x in cfg.param_scheduler]
    assert max(ends) == steps
    assert all(x.by_epoch is False for x in cfg.param_scheduler)
    assert config.origins()["train_cfg.max_iters"] == f"--steps {steps}"
    if steps > 1:  # the warm-up keeps its share
        before = read_config(REPOSITORY / "configs" / "toy" / f"{name}.py").cfg
        first = before.param_scheduler[0]
        each = total // epochs if first.get("convert_to_iter_based") else 1
        assert abs(ends[0] / steps - first.end * each / total) <= 1 / steps


def test_epochs_become_steps_of_the_data_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_digitscenes(tmp_path / "digitscenes", num_train=24, num_val=16, layouts=["det"], workers=1)
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    config = read_config(REPOSITORY / "configs/toy/pyramid_visionllama_tiny_maskrcnn_digitscenes.py")
    config.set("launcher", "none", "--launcher")
    batch = config.cfg.train_dataloader.batch_size
    assert steps_of_epoch(config.cfg) == -(-24 // batch)
    assert f"3 of the recipe's {3 * -(-24 // batch)} steps" in make_trial(config, 3)


def test_data_that_are_not_there_are_an_error_as_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    config = read_config(REPOSITORY / "configs/toy/pyramid_visionllama_tiny_maskrcnn_digitscenes.py")
    config.set("launcher", "none", "--launcher")
    with pytest.raises(ConfigError, match="prepare_digitscenes"):
        make_trial(config, 3)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (dict(type="MultiStepLR", milestones=[8, 11], begin=0, end=12), dict(milestones=[40, 55], end=60)),
        (dict(type="StepLR", step_size=4, begin=0, end=12), dict(step_size=20, end=60)),
        (
            dict(type="CosineAnnealingLR", T_max=11, begin=1, end=12, convert_to_iter_based=True),
            dict(T_max=55, begin=5, end=60),
        ),
        (dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=60), dict(begin=0, end=5)),
        (dict(type="ExponentialLR", gamma=0.5), dict(gamma=0.5**0.2)),
    ],
)
def test_schedules_in_epochs_and_in_iterations_shrink_alike(
    scheduler: dict, expected: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "steps_of_epoch", lambda cfg: 60)
    config = toy(param_scheduler=[scheduler], train_cfg=dict(_delete_=True, by_epoch=True, max_epochs=12))
    config.changes.clear()  # as if the files said so
    make_trial(config, 60)
    (new,) = config.cfg.param_scheduler
    for key, value in expected.items():
        assert new[key] == pytest.approx(value), key
    assert new.by_epoch is False
    assert "convert_to_iter_based" not in new


def test_validation_saving_and_averages_follow() -> None:
    average = dict(type="EMAHook", begin_iter=500)
    config = toy(
        **{"train_cfg.max_iters": 1000, "train_cfg.val_interval": 500, "custom_hooks": [average]},
        **{"default_hooks.checkpoint.interval": 250, "default_hooks.logger.interval": 50},
    )
    config.changes.clear()
    make_trial(config, 100)
    cfg = config.cfg
    assert (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (50, 25)
    assert cfg.custom_hooks[0].begin_iter == 50
    assert cfg.default_hooks.logger.interval <= 25


def test_checkpoints_that_are_kept_are_some_of_those_that_are_saved() -> None:
    config = read_config(REPOSITORY / "configs" / "gen" / "sit_visionllama_small_p2_in1k_256.py")
    make_trial(config, 30)
    hook = config.cfg.default_hooks.checkpoint
    assert hook.keep_every > 0 == hook.keep_every % hook.interval


def test_what_the_command_line_gives_stays_as_it_is() -> None:
    config = toy(**{"train_cfg.val_interval": 2, "default_hooks.checkpoint.interval": 1})
    make_trial(config, 2)
    assert (config.cfg.train_cfg.val_interval, config.cfg.default_hooks.checkpoint.interval) == (2, 1)
    assert config.origins()["train_cfg.val_interval"] == "--cfg-options"


def test_a_length_on_the_command_line_contradicts_it() -> None:
    with pytest.raises(LaunchError, match="contradicts train_cfg in --cfg-options"):
        make_trial(toy(**{"train_cfg.max_iters": 9}), 2)


@pytest.mark.parametrize("steps", [0, -1, 4])
def test_a_trial_has_at_least_a_step_and_no_more_than_the_recipe(steps: int) -> None:
    with pytest.raises(LaunchError, match="expected 1 to 3, which the recipe has"):
        make_trial(toy(), steps)


def test_hooks_that_count_epochs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "steps_of_epoch", lambda cfg: 10)
    switch = dict(type="mmpretrain.SwitchRecipeHook", schedule=[], action_epoch=3)
    config = toy(train_cfg=dict(_delete_=True, by_epoch=True, max_epochs=12))
    config.changes.clear()
    config.cfg.custom_hooks = [{k: v for k, v in switch.items() if k != "schedule"}]
    config.cfg.unchecked = ["custom_hooks"]
    assert "SwitchRecipeHook may not act" in make_trial(config, 20)


def test_a_trial_trains_that_many_steps_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("train", TOY, "--steps", "2", "--work-dir", "run") == 0
    log = log_text(Path("run"))
    assert "a trial of 2 of the recipe's 3 steps" in log
    assert summary(Path("run"))["planned_steps"] == 2
    assert list(logged_losses(Path("run"))) == [1, 2]
    assert "train_cfg.max_iters = 2  # --steps 2" in Path("run/toy_config_origins.txt").read_text()
