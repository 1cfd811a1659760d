"""Shipped configs by name, and as bases of configs that lie anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama.config import config_files as files
from mmvisionllama.config import load_config, read_config
from mmvisionllama.config.config_files import checkout, configs_folder, find_config
from mmvisionllama.config.loading import data_root_base
from mmvisionllama.errors import ConfigError

NAME = "seg/visionllama_upernet_ade20k"
FILE = Path(__file__).resolve().parents[2] / "configs" / f"{NAME}.py"
OWN = f"""
_base_ = "mmvisionllama::{NAME}.py"
model = dict(backbone=dict(drop_path_rate=0.3))
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


@pytest.mark.parametrize("before", ["", "configs/", "mmvisionllama::", f"{FILE.parents[1]}/"])
@pytest.mark.parametrize("ending", ["", ".py"])
def test_a_shipped_config_is_found_by_its_name_from_anywhere(
    before: str, ending: str, elsewhere: Path
) -> None:
    assert find_config(f"{before}{NAME}{ending}") == FILE


def test_a_file_of_the_current_directory_comes_first(elsewhere: Path) -> None:
    own = elsewhere / f"{NAME}.py"
    own.parent.mkdir()
    own.write_text("")
    assert find_config(NAME) == own
    assert find_config(f"mmvisionllama::{NAME}") == FILE


def test_a_base_of_this_package_gives_the_config_that_it_gives_here(elsewhere: Path) -> None:
    run = read_config("own.py")
    expected = load_config(FILE, {"model.backbone.drop_path_rate": 0.3, "work_dir": "work_dirs/own"})
    assert run.cfg.to_dict() == expected.to_dict()


def test_values_of_such_a_base_keep_their_origin(elsewhere: Path) -> None:
    lines = read_config("own.py").write_origins(elsewhere).read_text()
    assert "model.backbone.drop_path_rate = 0.3  # own.py:3" in lines
    assert "model.type = 'EncoderDecoder'  # configs/_base_/models/" in lines


def test_a_base_that_does_not_exist_is_answered_with_the_nearest(elsewhere: Path) -> None:
    (elsewhere / "own.py").write_text(OWN.replace("upernet", "uprnet"))
    with pytest.raises(ConfigError, match=rf"own.py, line 2: .*did you mean mmvisionllama::{NAME}\.py"):
        load_config("own.py")


@pytest.mark.parametrize(
    "order", ["import mmvisionllama\nimport mmengine.config", "import mmengine.config\nimport mmvisionllama"]
)
def test_mmengine_itself_reads_such_a_base_and_leaves_the_scope_to_the_config(
    order: str, elsewhere: Path
) -> None:
    code = f"""
{order}
cfg = mmengine.config.Config.fromfile("own.py")
print(cfg.default_scope, cfg.model.type, cfg.model.backbone.drop_path_rate, "_scope_" in str(cfg.model))
print(mmengine.config.Config.fromfile("host.py").model.get("_scope_"))
"""
    (elsewhere / "host.py").write_text('_base_ = "mmdet::_base_/models/faster-rcnn_r50_fpn.py"')
    environ = {**os.environ, "PYTHONPATH": str(FILE.parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["mmseg EncoderDecoder 0.3 False", "mmdet"], done.stderr


def test_without_a_checkout_data_lie_in_the_current_directory(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkout() == FILE.parents[2]
    monkeypatch.delenv("MMVISIONLLAMA_DATA", raising=False)
    (elsewhere / "mmvisionllama" / ".mim" / "configs").mkdir(parents=True)
    monkeypatch.setattr(files.mmvisionllama, "__file__", str(elsewhere / "mmvisionllama" / "__init__.py"))
    assert checkout() is None
    assert configs_folder() == elsewhere / "mmvisionllama" / ".mim" / "configs"
    assert data_root_base() == elsewhere / "data"
