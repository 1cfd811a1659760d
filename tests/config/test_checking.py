from pathlib import Path

import pytest
from mmengine.config import Config

from mmvisionllama.config import check_config, load_config
from mmvisionllama.errors import ConfigError

DEMO = "configs/toy/visionllama_tiny_upernet_digitscenes.py"
PIPELINE = "train_dataloader.dataset.pipeline"


def problems_of(text: str, folder: Path) -> list[str]:
    """Load a config file with this text and return what is wrong with it."""
    file = folder / "wrong.py"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("path", "right"),
    {
        "optim_wraper.optimizer.lr": "optim_wrapper",
        "model.bakbone.arch": "backbone",
        "model.backbone.drop_path_rat": "drop_path_rate",
        "model.backbone.img_sise": "img_size",
        "model.backbone.norm_cfg": {"type": "LN", "epz": 1e-6},
        "model.decode_head.chanels": "channels",
        "model.decode_head.loss_decode.los_weight": "loss_weight",
        "model.decode_head.norm_cfg.num_group": "num_groups",
        "model.data_preprocessor.bgr2rgb": "bgr_to_rgb",
        "model.test_cfg.mod": "mode",
        "train_cfg.max_iter": "max_iters",
        "train_dataloader.batchsize": "batch_size",
        "train_dataloader.sampler.shufle": "shuffle",
        "train_dataloader.dataset.data_rot": "data_root",
        "train_dataloader.dataset.data_prefix.img_pth": "img_path",
        f"{PIPELINE}.1.reduce_zero_labels": "reduce_zero_label",
        f"{PIPELINE}.2.ratio_rang": "ratio_range",
        "val_evaluator.iou_metric": "iou_metrics",
        "optim_wrapper.optimizer.weight_decy": "weight_decay",
        "optim_wrapper.clip_grad.max_nrm": "max_norm",
        "optim_wrapper.paramwise_cfg.norm_decay_mul": "norm_decay_mult",
        "optim_wrapper.paramwise_cfg.custom_keys.norm.lr_mutl": "lr_mult",
        "param_scheduler.0.start_facter": "start_factor",
        "default_hooks.checkpoint.intervall": "interval",
        "default_hooks.chekpoint.interval": "checkpoint",
        "log_processor.window_sise": "window_size",
        "env_cfg.mp_cfg.mp_start_metod": "mp_start_method",
        "env_cfg.dist_cfg.backnd": "backend",
        "randomness.sed": "seed",
        "auto_scale_lr.base_batchsize": "base_batch_size",
        "compile.mod": "mode",
    }.items(),
)
def test_unknown_key_is_an_error_with_the_nearest_name(path: str, right: str | dict) -> None:
    value, nearest = (right, "eps") if isinstance(right, dict) else (1, right)
    with pytest.raises(ConfigError) as caught:
        load_config(DEMO, {path: value})
    (problem,) = caught.value.problems
    assert problem.nearest == nearest
    assert path.startswith(problem.path) or problem.path.startswith(path)
    assert f"did you mean {nearest!r}?" in str(caught.value)


def test_key_of_a_component_in_a_list_is_checked() -> None:
    backend = {"type": "LocalVisBackend", "save_dirr": "x"}
    with pytest.raises(ConfigError, match=r"visualizer\.vis_backends\.0\.save_dirr: .* mean 'save_dir'"):
        load_config(DEMO, {"visualizer": {"type": "Visualizer", "vis_backends": [backend]}})


def test_all_problems_of_a_config_are_reported_at_once() -> None:
    options = {"model.backbone.archi": "tiny", "randomness.sed": 1, "crop_sise": 2}
    with pytest.raises(ConfigError) as caught:
        load_config(DEMO, options)
    assert {problem.path for problem in caught.value.problems} == set(options)


@pytest.mark.parametrize(
    ("type_", "nearest"),
    [
        ("UPerHed", "UPerHead"),
        ("mmseg.UPerHed", "mmseg.UPerHead"),
        ("mmsg.UPerHead", "mmseg.UPerHead"),
        ("VisionTransformerClsHead", "mmpretrain.VisionTransformerClsHead"),
    ],
)
def test_unknown_type_is_an_error_with_the_nearest_or_the_package_that_has_it(
    type_: str, nearest: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(DEMO, {"model.decode_head.type": type_})
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest) == ("model.decode_head.type", nearest)


def test_a_type_of_another_registry_is_unknown_in_a_pipeline() -> None:
    with pytest.raises(ConfigError, match="no transform 'IoUMetric'"):
        load_config(DEMO, {f"{PIPELINE}.1": {"type": "IoUMetric"}})


def test_import_that_fails_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "brokenhost"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "registry.py").write_text("import a_library_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    cfg = Config(dict(default_scope="mmseg", model=dict(type="brokenhost.Net")))
    (problem,) = check_config(cfg)
    assert "ModuleNotFoundError: No module named 'a_library_that_nobody_has'" in problem.message


def test_default_scope_that_does_not_exist_is_the_only_problem_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(DEMO, {"default_scope": "mmsegg"})
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest) == ("default_scope", "mmseg")


def test_type_of_a_package_with_registries_of_its_own_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ownhost"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "registry.py").write_text(
        "from mmengine.registry import MODELS as ROOT, Registry\n"
        "MODELS = Registry('model', parent=ROOT, scope='ownhost', locations=['ownhost.nets'])\n"
    )
    (package / "nets.py").write_text(
        "from .registry import MODELS\n"
        "@MODELS.register_module()\nclass Net:\n    def __init__(self, width=1): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = check_config(Config(dict(default_scope="mmseg", model=dict(type="ownhost.Net", widt=2))))
    assert (problem.path, problem.nearest) == ("model.widt", "width")


def test_host_component_with_a_type_by_default_is_checked() -> None:
    model = dict(type="ImageClassifier", backbone=dict(type="ResNet", depth=50))
    cfg = Config(dict(default_scope="mmpretrain", model=model, data_preprocessor=dict(mena=[0])))
    (problem,) = check_config(cfg)
    assert (problem.path, problem.nearest) == ("data_preprocessor.mena", "mean")


def test_parts_of_our_networks_are_found_in_our_registry_without_a_prefix() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(DEMO, {"model.backbone.rope": {"type": "AS2DRoPE", "bas": 100.0}})
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest) == ("model.backbone.rope.bas", "base")


def test_component_without_a_type_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"custom_hooks\.0: has no 'type'"):
        load_config(DEMO, {"custom_hooks": [{"priority": 50}]})


def test_default_hook_with_a_name_of_its_own_is_accepted() -> None:
    cfg = load_config(DEMO, {"default_hooks.average": {"type": "EMAHook", "priority": 49}})
    assert cfg.default_hooks.average.type == "EMAHook"


def test_training_loop_without_type_or_by_epoch_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems_of("train_cfg = dict(max_epochs=3)", tmp_path)
    assert problem.startswith("train_cfg: has no 'type'")


def test_delete_mark_that_deletes_nothing_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems_of("randomness = dict(_delete_=True, seed=1)", tmp_path)
    assert problem.startswith("randomness._delete_: there is nothing")


def test_key_that_a_host_swallows_without_reading_is_an_error() -> None:
    with pytest.raises(ConfigError, match="IoUMetric knows no 'classwise'"):
        load_config(DEMO, {"val_evaluator.classwise": True})


def test_unchecked_subtree_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "open.py"
    file.write_text('unchecked = ["randomness"]\nrandomness = dict(seeed=1)\n')
    assert load_config(file).randomness == dict(seeed=1)


def test_an_unknown_key_can_be_left_unchecked_by_itself(tmp_path: Path) -> None:
    text = 'unchecked = ["randomness.seeed"]\nrandomness = dict(seeed=1, sed=2)\n'
    (problem,) = problems_of(text, tmp_path)
    assert problem.startswith("randomness.sed:")


def test_unchecked_path_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    assert problems_of('unchecked = ["model.neck"]', tmp_path) == [
        "unchecked: the config has no 'model.neck'"
    ]


def test_variable_that_no_setting_is_computed_from_is_an_error(tmp_path: Path) -> None:
    text = "crop = (7, 9)\nsteps = 10\ntrain_cfg = dict(by_epoch=False, max_iters=2 * steps)\n"
    (problem,) = problems_of(text, tmp_path)
    assert problem.startswith("crop: no setting has this name and none is computed from it")


def test_base_variable_overridden_without_effect_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("seed = 4\nrandomness = dict(seed=seed)\n")
    (problem,) = problems_of('_base_ = "base.py"\nseed = 5\n', tmp_path)
    assert problem.startswith("seed: ")


def test_base_variable_read_by_the_inheriting_file_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("steps = 4\n")
    text = "_base_ = 'base.py'\ntrain_cfg = dict(by_epoch=False, max_iters=2 * _base_.steps)\n"
    (tmp_path / "leaf.py").write_text(text)
    assert load_config(tmp_path / "leaf.py").train_cfg.max_iters == 8


def test_near_miss_of_a_setting_is_named_even_when_its_value_occurs_elsewhere(tmp_path: Path) -> None:
    (problem,) = problems_of("work_dirr = 'a'\nexperiment_name = 'a'\n", tmp_path)
    assert "did you mean 'work_dir'?" in problem


def test_private_variable_may_be_unused(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text("_note = 'kept for later'\nrandomness = dict(seed=1)\n")
    assert load_config(tmp_path / "c.py").randomness.seed == 1
