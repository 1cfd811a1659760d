import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama import compat
from mmvisionllama.checks import environment
from tests import without_operators

ROOT = Path(__file__).resolve().parents[2]
PIP = f"{sys.executable} -m pip install"
PARTS = {part.name: part for part in environment.PARTS}
PINS = {line.split("==")[0]: line for line in (ROOT / "requirements.txt").read_text().splitlines()}
ANEW = f"--no-deps --force-reinstall --no-cache-dir --no-binary=onedl-mmcv {PINS['onedl-mmcv']}"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], env=environ, capture_output=True, text=True, check=False
    )


def test_every_required_part_works_here() -> None:
    done = python("-m", "mmvisionllama.doctor")
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "absent "))]
    assert len(lines) == 1 + len(environment.PARTS)
    assert done.stdout.endswith("everything required works\n")


def test_without_any_library_each_required_one_is_named_with_its_fix() -> None:
    done = python("-S", "-m", "mmvisionllama.doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    for mark, module, distribution in (
        ("FAIL", "torch", "torch"),
        ("FAIL", "mmengine", "onedl-mmengine"),
        ("absent", "mmpretrain", "onedl-mmpretrain"),
        ("absent", "mmseg", "onedl-mmsegmentation"),
    ):
        at = next(i for i, line in enumerate(lines) if f"{module} is not installed" in line)
        assert lines[at].startswith(f"{mark} ")
        assert lines[at + 1].strip() == f"fix: {PIP} -c {ROOT / 'constraints.txt'} {PINS[distribution]}"


def test_an_mmcv_without_compiled_operators_is_enough_and_the_way_to_compile_them_is_a_remark(
    tmp_path: Path,
) -> None:
    code = (
        "from mmvisionllama.checks import environment\n"
        "parts = [x for x in environment.PARTS if x.name in ('mmcv operators', 'detection')]\n"
        "print(*map(environment.examine, parts), sep='\\n')"
    )
    done = without_operators.python(tmp_path, "-c", code)
    first, remark, detection = done.stdout.splitlines()
    backend = "torch" if compat.torchvision_is_patched() else "torchvision"
    assert first.startswith("ok ")
    assert f"not compiled: nms and RoIAlign run on cpu ({backend})" in first
    assert first.endswith("that is enough here")
    assert remark.strip().startswith("to compile them all the same: ")
    assert "CFLAGS=-g0" in remark
    assert remark.endswith(f"--no-build-isolation {ANEW}")
    assert detection.startswith("ok ")


@pytest.mark.parametrize(
    ("compiled", "fix"),
    [(True, f"install -c {ROOT / 'constraints.txt'} {ANEW}"), (False, f"--no-build-isolation {ANEW}")],
)
def test_operators_with_wrong_results_are_replaced_by_those_of_the_other_kind(
    compiled: bool, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmcv.ops
    import torch

    monkeypatch.setattr(compat, "operators_are_compiled", lambda: compiled)
    monkeypatch.setattr(mmcv.ops, "nms", lambda boxes, scores, threshold: (boxes, torch.arange(3)))
    finding = environment.examine(PARTS["mmcv operators"])
    assert finding.mark == "FAIL"
    assert "nms [0, 1, 2]" in finding.detail
    assert finding.fix.endswith(fix)


def test_an_absent_optional_part_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmdet", None)
    finding = environment.examine(PARTS["detection"])
    assert (finding.mark, finding.detail) == ("absent", "mmdet is not installed (optional)")
    assert finding.fix.endswith(f" {PINS['onedl-mmdetection']}")


def test_an_optional_part_that_misses_a_library_of_its_own_is_a_failure() -> None:
    def check() -> str:
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")

    finding = environment.examine(environment.Part("detection", check, ("mmdet",), extra="det"))
    assert (finding.mark, finding.detail) == ("FAIL", "skimage is not installed")
    assert "scikit-image==" in finding.fix


def test_a_broken_part_is_to_be_installed_afresh() -> None:
    def check() -> str:
        raise ImportError("undefined symbol: _ZN3c10\nsecond line")

    finding = environment.examine(environment.Part("torchvision", check, ("torchvision",)))
    assert finding.detail == "ImportError: undefined symbol: _ZN3c10"
    assert finding.fix.endswith(f"--force-reinstall {PINS['torchvision']}")


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_an_unsupported_python_fails_and_names_the_supported_ones(version: tuple[int, int, int]) -> None:
    finding = environment.check_python(version)
    assert finding.mark == "FAIL"
    assert "supported: 3.10, 3.11, 3.12, 3.13" in finding.detail


def test_without_a_checkout_the_fix_asks_for_the_range_of_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(
        environment.metadata, "requires", lambda name: ['onedl-mmdetection<3.6,>=3.5.1; extra == "det"']
    )
    assert environment.pip_install("mmdet") == f"{PIP} 'onedl-mmdetection<3.6,>=3.5.1'"
    monkeypatch.setitem(sys.modules, "mmdet", None)
    assert environment.examine(PARTS["detection"]).fix == f'{PIP} "mmvisionllama[det]"'
