import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode
from yapf_third_party._ylib2to3.pgen2.grammar import Grammar

ROOT = Path(__file__).resolve().parents[1]

# Fails half-way like the real one, after a submodule of it was imported, which it reads from the package.
NEEDS_OPERATORS = """
import torch
import torchvision.extension
torchvision.extension.__name__
for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(lambda *args: None)
"""
DECLARES_OPERATORS = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def python(code: str, *options: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def fake_torchvision(folder: Path, code: str) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    (package / "extension.py").write_text("")
    return folder


def test_operators_are_declared_once_for_a_torchvision_that_misses_them(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, NEEDS_OPERATORS)
    code = """
import gc, importlib.util
from mmvisionllama import compat
compat.install()
assert importlib.util.find_spec("torchvision")
import torchvision.extension
gc.collect()
import torch
print(torchvision.__file__, compat.torchvision_is_patched(), torch.ops.torchvision.nms.default._schema.name)
"""
    done = python(code, path=path)
    assert done.stdout.split() == [str(path / "torchvision/__init__.py"), "True", "torchvision::nms"], (
        done.stderr
    )


def test_a_healthy_torchvision_is_left_alone(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, DECLARES_OPERATORS)
    code = "from mmvisionllama import compat; import torchvision; print(compat.torchvision_is_patched())"
    done = python(code, path=path)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("error", ["RuntimeError('CUDA versions differ')", "OSError('libjpeg is missing')"])
def test_another_failure_of_torchvision_surfaces(tmp_path: Path, error: str) -> None:
    path = fake_torchvision(tmp_path, f"raise {error}")
    done = python("import mmvisionllama, torchvision", path=path)
    assert done.returncode == 1
    assert error.split("'")[1] in done.stderr.splitlines()[-1]


def test_the_package_imports_where_torch_and_torchvision_are_not_installed() -> None:
    done = python(
        "import mmvisionllama, importlib.util; print(importlib.util.find_spec('torchvision'))", "-S"
    )
    assert done.stdout.strip() == "None", done.stderr


def test_operators_stand_in_only_where_none_were_compiled(tmp_path: Path) -> None:
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv/__init__.py").write_text("")
    (tmp_path / "mmcv/_ext.py").write_text("nms = 'compiled'")
    code = """
import sys
from mmvisionllama import compat
compat.install()
import mmcv._ext
print(mmcv._ext.nms, compat.operators_are_compiled(), sys.meta_path.count(sys.meta_path[-1]))
"""
    done = python(code, path=tmp_path)
    assert done.stdout.split() == ["compiled", "True", "1"], done.stderr


def test_compiled_operators_that_do_not_load_are_not_replaced_in_silence(tmp_path: Path) -> None:
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv/__init__.py").write_text("")
    (tmp_path / "mmcv/_ext.py").write_text("raise ImportError('undefined symbol')")
    done = python("import mmvisionllama, mmcv._ext", path=tmp_path)
    assert done.stderr.splitlines()[-1] == "ImportError: undefined symbol"


def test_what_yapf_caches_is_whole_when_others_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("rename", "replace"):
        move = getattr(os, name)

        def look_and_move(source: str, target: str, move: Callable[[str, str], None] = move) -> None:
            found.append(Path(source).read_bytes())
            move(source, target)

        monkeypatch.setattr(os, name, look_and_move)
    tables = Grammar()
    tables.start = 256
    tables.dump(str(tmp_path / "cache" / "Grammar.pickle"))
    (whole,) = found
    again = Grammar()
    again.loads(whole)
    assert again.start == 256
    assert [x.read_bytes() for x in (tmp_path / "cache").iterdir()] == found


def test_a_config_is_formatted_once_and_as_yapf_formats_it() -> None:
    config = Config(dict(model=dict(type="VisionLLaMA", long=list(range(60)))))
    text = config.pretty_text
    assert Config(config.to_dict()).pretty_text is text and len(text.splitlines()) > 2
    config.model.type = "other"
    assert "other" in config.pretty_text
    assert (
        FormatCode("a=1", style_config="pep8") == FormatCode("a=1", "<unknown>", "pep8") == ("a = 1\n", True)
    )
