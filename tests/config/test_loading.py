import os
import subprocess
from pathlib import Path

import pytest

from mmvisionllama.config import data_root_base, load_config, read_config
from mmvisionllama.config.config_files import checkout
from mmvisionllama.errors import ConfigError

DEMO = "configs/toy/visionllama_tiny_upernet_digitscenes.py"


def failure(path: Path | str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


def test_relative_path_is_found_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = load_config(DEMO)
    assert Path(cfg.filename) == checkout() / DEMO


def test_current_directory_comes_before_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEMO).parent.mkdir(parents=True)
    (tmp_path / DEMO).write_text("randomness = dict(seed=9)\n")
    assert load_config(DEMO).randomness.seed == 9


@pytest.mark.parametrize("given", ["configs/seg/{}", "{}", "elsewhere/{}"])
def test_missing_config_is_an_error_with_the_nearest_names(given: str) -> None:
    path = given.format("vision_llama_tiny_upernet_digitscenes.py")
    text = failure(path)
    assert repr(path) in text
    assert DEMO in text


def test_old_path_of_a_moved_config_is_answered_with_the_new_one_alone() -> None:
    old = DEMO.replace("/toy/", "/seg/")
    assert failure(old) == f"no config {old!r}; did you mean {DEMO}?"


@pytest.mark.parametrize("data", ["digitscenes", "mnist"])
def test_old_path_of_a_renamed_config_is_answered_with_the_new_one_first(data: str) -> None:
    old, new = (f"configs/toy/{model}_tiny_{data}.py" for model in ("deit3", "vit"))
    assert failure(old).startswith(f"no config {old!r}; did you mean {new}")


def test_folder_instead_of_a_config_lists_its_files(tmp_path: Path) -> None:
    (tmp_path / "one.py").touch()
    assert failure(tmp_path).endswith("is a folder; it holds one.py")


def test_config_that_is_no_python_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: 1")
    assert "no Python file" in failure(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed = 1\nmodel = dict(\n", "line 2: '(' was never closed"),
        ("seed = 1\nmodel = dict(a=seeed)\n", "line 2: NameError: name 'seeed' is not defined"),
        ("_base_ = 'base.py'\n", "line 1: there is no base file 'base.py'; did you mean"),
        (
            "_base_ = ['mmseg::_base_/default_runtime.py']\n",
            "line 1: the base 'mmseg::_base_/default_runtime.py'",
        ),
    ],
    ids=["syntax", "name", "base", "other package"],
)
def test_error_in_a_config_file_names_file_and_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bases.py").touch()
    (tmp_path / "c.py").write_text(text)
    assert f"{tmp_path / 'c.py'}, {reason}" in failure(tmp_path / "c.py")


def test_error_in_a_base_file_names_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("\nrandomness = dict(seed=1 / 0)\n")
    (tmp_path / "c.py").write_text("_base_ = 'base.py'\n")
    assert f"{tmp_path / 'base.py'}, line 2: ZeroDivisionError" in failure(tmp_path / "c.py")


def test_base_of_another_package_never_starts_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    for module, name in [(os, "system"), (subprocess, "Popen"), (os, "posix_spawn"), (os, "execvp")]:
        monkeypatch.setattr(module, name, lambda *args, **_: started.append(args))
    (tmp_path / "c.py").write_text("_base_ = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'\n")
    assert "of another package cannot be read" in failure(tmp_path / "c.py")
    assert started == []


def test_options_reach_list_items_by_their_index() -> None:
    cfg = load_config(DEMO, {"train_dataloader.dataset.pipeline.3.crop_size": (32, 32)})
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (32, 32)


def test_option_may_add_an_argument_that_the_component_accepts() -> None:
    assert load_config(DEMO, {"model.backbone.frozen_stages": 1}).model.backbone.frozen_stages == 1


def test_option_may_replace_a_subtree_with_delete() -> None:
    options = {"optim_wrapper.optimizer": {"_delete_": True, "type": "SGD", "lr": 0.1}}
    assert load_config(DEMO, options).optim_wrapper.optimizer == dict(type="SGD", lr=0.1)


def test_delete_mark_lets_a_dict_take_the_place_of_a_text() -> None:
    options = {"model.backbone.arch._delete_": True, "model.backbone.arch.embed_dims": 32}
    more = {"model.backbone.arch.num_layers": 2, "model.backbone.arch.num_heads": 2}
    assert load_config(DEMO, {**more, **options}).model.backbone.arch == dict(
        embed_dims=32, num_layers=2, num_heads=2
    )


def test_index_beyond_a_list_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"pipeline\.9\.scale: cannot be set: Index 9 exceeds"):
        load_config(DEMO, {"train_dataloader.dataset.pipeline.9.scale": 2})


def test_option_that_names_a_helper_variable_tells_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text("first = 17\nrandomness = dict(seed=first)\n")
    with pytest.raises(ConfigError, match=r"first: only helps to write .* Allowed: randomness\.seed"):
        load_config(tmp_path / "c.py", {"first": 18})


def test_helper_variables_are_dropped_from_the_result(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text("first = 17\nrandomness = dict(seed=first)\n")
    assert "first" not in load_config(tmp_path / "c.py")


def test_dumped_config_loads_again(tmp_path: Path) -> None:
    cfg = load_config(DEMO)
    cfg.dump(tmp_path / "dumped.py")
    assert load_config(tmp_path / "dumped.py").to_dict() == cfg.to_dict()


def test_data_root_moves_below_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    cfg = load_config(DEMO)
    assert cfg.val_dataloader.dataset.data_root == str(tmp_path / "digitscenes/seg")


def test_data_root_lies_in_the_repository_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMVISIONLLAMA_DATA", raising=False)
    assert data_root_base() == checkout() / "data"
    assert load_config(DEMO).train_dataloader.dataset.data_root == str(data_root_base() / "digitscenes/seg")


@pytest.mark.parametrize("root", ["/data/ade", "database/ade", "other/data/ade"])
def test_other_data_roots_stay(root: str) -> None:
    cfg = load_config(DEMO, {"val_dataloader.dataset.data_root": root})
    assert cfg.val_dataloader.dataset.data_root == root


def test_data_root_inside_a_dataset_wrapper_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    inner = dict(type="ADE20KDataset", data_root="data/ade")
    wrapper = dict(_delete_=True, type="ConcatDataset", datasets=[inner])
    cfg = load_config(DEMO, {"val_dataloader.dataset": wrapper})
    assert cfg.val_dataloader.dataset.datasets[0].data_root == str(tmp_path / "ade")


def test_work_dir_defaults_to_the_name_of_the_config() -> None:
    assert load_config(DEMO).work_dir == "work_dirs/visionllama_tiny_upernet_digitscenes"


def test_given_work_dir_stays() -> None:
    assert load_config(DEMO, {"work_dir": "mine"}).work_dir == "mine"


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_without_loading_processes_their_options_are_left_out(loader: str) -> None:
    options = {f"{loader}.num_workers": 0, f"{loader}.prefetch_factor": 4, f"{loader}.timeout": 60}
    cfg = load_config("configs/toy/visionllama_tiny_digits.py", options)
    assert not {"persistent_workers", "prefetch_factor", "timeout"} & {*cfg[loader]}
    others = {"train_dataloader", "val_dataloader", "test_dataloader"} - {loader}
    assert all(cfg[x].persistent_workers for x in others)


def test_an_interval_of_0_means_no_validation() -> None:
    config = read_config("configs/toy/visionllama_tiny_digits.py", {"train_cfg.val_interval": 0})
    assert "val_interval" not in config.cfg.train_cfg
    for name in ("val_dataloader", "val_cfg", "val_evaluator"):
        assert config.cfg[name] is None
    assert config.origins()["val_dataloader"] == "train_cfg.val_interval=0"
    with pytest.raises(ConfigError, match=r"train_cfg.val_interval: takes a whole number of at least 1"):
        read_config("configs/toy/visionllama_tiny_digits.py", {"train_cfg.val_interval": -1})
