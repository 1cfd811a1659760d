import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama import doctor

ROOT = Path(__file__).resolve().parents[1]
PIP = f"{sys.executable} -m pip install --no-build-isolation"
PARTS = {part.name: part for part in doctor.PARTS}
PINS = {line.split("==")[0]: line for line in (ROOT / "requirements.txt").read_text().splitlines()}
REBUILD = f"--no-deps --force-reinstall --no-cache-dir --no-binary=onedl-mmcv {PINS['onedl-mmcv']}"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], env=environ, capture_output=True, text=True, check=False
    )


def test_every_required_part_works_here() -> None:
    done = python("-m", "mmvisionllama.doctor")
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "absent "))]
    assert len(lines) == 1 + len(doctor.PARTS)
    assert done.stdout.endswith("everything required works\n")


def test_without_any_library_each_required_one_is_named_with_its_fix() -> None:
    done = python("-S", "-m", "mmvisionllama.doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    for module, distribution in (
        ("torch", "torch"),
        ("mmengine", "onedl-mmengine"),
        ("mmpretrain", "onedl-mmpretrain"),
        ("mmseg", "onedl-mmsegmentation"),
    ):
        at = next(i for i, line in enumerate(lines) if line.endswith(f"{module} is not installed"))
        assert lines[at].startswith("FAIL ")
        assert lines[at + 1].strip() == f"fix: {PIP} -c {ROOT / 'constraints.txt'} {PINS[distribution]}"


def test_an_mmcv_without_compiled_operators_is_to_be_rebuilt() -> None:
    code = (
        "import sys; sys.modules['mmcv._ext'] = None\n"
        "from mmvisionllama import doctor\n"
        "print(doctor.examine(next(part for part in doctor.PARTS if part.name == 'mmcv operators')))"
    )
    first, fix = python("-c", code).stdout.splitlines()
    assert first.startswith("FAIL ")
    assert first.endswith("mmcv lacks its compiled operators")
    assert "CFLAGS=-g0" in fix
    assert fix.endswith(REBUILD)


def test_operators_with_wrong_results_are_to_be_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    import mmcv.ops
    import torch

    monkeypatch.setattr(mmcv.ops, "nms", lambda boxes, scores, threshold: (boxes, torch.arange(3)))
    finding = doctor.examine(PARTS["mmcv operators"])
    assert finding.mark == "FAIL"
    assert "nms [0, 1, 2]" in finding.detail
    assert finding.fix.endswith(REBUILD)


def test_an_absent_optional_part_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmdet", None)
    finding = doctor.examine(PARTS["detection"])
    assert (finding.mark, finding.detail) == ("absent", "mmdet is not installed (optional)")
    assert finding.fix.endswith(f" {PINS['onedl-mmdetection']}")


def test_an_optional_part_that_misses_a_library_of_its_own_is_a_failure() -> None:
    def check() -> str:
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")

    finding = doctor.examine(doctor.Part("detection", check, ("mmdet",), optional=True))
    assert (finding.mark, finding.detail) == ("FAIL", "skimage is not installed")
    assert "scikit-image==" in finding.fix


def test_a_broken_part_is_to_be_installed_afresh() -> None:
    def check() -> str:
        raise ImportError("undefined symbol: _ZN3c10\nsecond line")

    finding = doctor.examine(doctor.Part("torchvision", check, ("torchvision",)))
    assert finding.detail == "ImportError: undefined symbol: _ZN3c10"
    assert finding.fix.endswith(f"--force-reinstall {PINS['torchvision']}")


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 13, 0)])
def test_an_unsupported_python_fails_and_names_the_supported_ones(version: tuple[int, int, int]) -> None:
    finding = doctor.check_python(version)
    assert finding.mark == "FAIL"
    assert "supported: 3.10, 3.11, 3.12" in finding.detail


def test_without_a_checkout_the_fix_asks_for_the_range_of_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda name: ['onedl-mmdetection<3.6,>=3.5.1; extra == "det"']
    )
    assert doctor.pip_install("mmdet") == f"{PIP} 'onedl-mmdetection<3.6,>=3.5.1'"
