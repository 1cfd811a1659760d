import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_torchvision_and_a_host_import_after_prepare() -> None:
    code = """
from mmvisionllama import compat
compat.prepare()
import torch, torchvision, mmpretrain
print(tuple(torchvision.transforms.functional.hflip(torch.arange(2)[None, None])[0, 0].tolist()))
"""
    done = python(code)
    assert done.stdout.strip() == "(1, 0)", done.stderr


def test_operators_are_declared_once_for_a_torchvision_that_misses_them(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, NEEDS_OPERATORS)
    code = """
import gc, sys
from mmvisionllama import compat
for _ in range(2):
    compat.prepare()
    gc.collect()
import torch, torchvision
print(torchvision.__file__, compat.torchvision_is_patched(), torch.ops.torchvision.nms.default._schema.name)
"""
    done = python(code, path=path)
    assert done.stdout.split() == [str(path / "torchvision/__init__.py"), "True", "torchvision::nms"], (
        done.stderr
    )


def test_a_healthy_torchvision_is_left_alone(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, DECLARES_OPERATORS)
    code = "from mmvisionllama import compat; compat.prepare(); print(compat.torchvision_is_patched())"
    done = python(code, path=path)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("error", ["RuntimeError('CUDA versions differ')", "OSError('libjpeg is missing')"])
def test_another_failure_of_torchvision_surfaces(tmp_path: Path, error: str) -> None:
    path = fake_torchvision(tmp_path, f"raise {error}")
    done = python("from mmvisionllama import compat; compat.prepare()", path=path)
    assert done.returncode == 1
    assert error.split("'")[1] in done.stderr.splitlines()[-1]


def test_nothing_happens_where_torch_and_torchvision_are_not_installed() -> None:
    done = python("from mmvisionllama import compat; compat.prepare(); print('fine')", "-S")
    assert done.stdout.strip() == "fine", done.stderr
