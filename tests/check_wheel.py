"""The wheel in an empty environment. `make check-wheel` runs this apart: it installs for minutes."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("mmdet", "mmpretrain", "mmseg", "skimage", "sklearn", "torchvision")
USER_CONFIG = """
_base_ = "mmvisionllama::seg/visionllama_upernet_ade20k.py"
model = dict(backbone=dict(drop_path_rate=0.3))
"""
USER_SCRIPT = f"""
import sys

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

import mmvisionllama

cfg = Config.fromfile("my_config.py")
backbone = MODELS.build(cfg.model.backbone)
print([x.shape[1] for x in backbone(torch.rand(1, 3, 64, 64))])
print(cfg.default_scope, cfg.model.type, cfg.model.backbone.drop_path_rate, "_scope_" in str(cfg.model))
print(sorted({{*sys.modules}}.intersection({HOSTS})))
"""


class Environment:
    """An environment of a user with nothing but the wheel and what it asks for, and a folder to work in."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.python, self.folder = folder / "env" / "bin" / "python", folder / "work"
        self.folder.mkdir()
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        self.pip(str(wheel))

    def pip(self, *wanted: str) -> None:
        # Ranges admit what is new today; the check is about the wheel, so the pins decide.
        pins = ["--constraint", str(ROOT / "requirements.txt")]
        self.run(self.python, "-m", "pip", "install", "--quiet", "--no-compile", *pins, *wanted, timeout=1500)

    def run(
        self, *command: str | Path, status: int = 0, timeout: int = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and require its exit status."""
        ours = ("PYTHON", "PYTHONPATH", "GPUS", "NPROC", "NNODES", "MMVISIONLLAMA_DATA")
        environ = {key: value for key, value in os.environ.items() if key not in ours} | variables
        words = [str(x) for x in command]
        options = dict(capture_output=True, text=True, timeout=timeout, check=False)
        done = subprocess.run(words, cwd=self.folder, env=environ, **options)
        assert done.returncode == status, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    def command(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return self.run(self.python.with_name("mmvisionllama"), *arguments, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A build leaves files beside the sources, and takes those that an earlier one has left.
    unwanted = shutil.ignore_patterns(".git", ".venv", "data", "work_dirs", "build", "*.egg-info")
    shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    subprocess.run([*command, folder / "source"], check=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("user"), wheel)


def test_the_wheel_has_every_config_and_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        prefix = "mmvisionllama/.mim/configs/"
        found = {x.removeprefix(prefix): archive.read(x) for x in names if x.startswith(prefix)}
    configs = ROOT / "configs"
    files = [x for x in configs.rglob("*") if x.suffix in (".py", ".json")]
    assert found == {str(x.relative_to(configs)): x.read_bytes() for x in files}
    assert not [x for x in names if x.startswith(("tests/", "tools/", "configs/"))]


def test_the_wheel_has_the_tiny_models(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        prefix = "mmvisionllama/tiny_models/"
        found = {x.removeprefix(prefix): archive.read(x) for x in archive.namelist() if x.startswith(prefix)}
    folder = ROOT / prefix
    assert found == {str(x.relative_to(folder)): x.read_bytes() for x in folder.rglob("*") if x.is_file()}
    assert any(x.endswith("model.safetensors") for x in found)


def test_the_snippet_of_the_readme_runs_where_no_host_is_installed(environment: Environment) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (snippet,) = [x for x in blocks if "VisionLLaMA(" in x]
    environment.run(environment.python, "-c", snippet)


def test_a_config_elsewhere_has_one_of_the_package_as_its_base(environment: Environment) -> None:
    (environment.folder / "my_config.py").write_text(USER_CONFIG)
    widths, config, loaded = environment.run(environment.python, "-c", USER_SCRIPT).stdout.splitlines()
    assert widths == "[768, 768, 768, 768]"
    assert config == "mmseg EncoderDecoder 0.3 False"
    assert loaded == "[]"


def test_the_doctor_calls_the_environment_healthy_and_names_the_extras(environment: Environment) -> None:
    report = environment.command("doctor").stdout
    assert report.endswith("everything required works\n")
    for extra in ("cls", "seg", "det", "gen"):
        assert f'fix: {environment.python} -m pip install "mmvisionllama[{extra}]"' in report


def test_a_command_that_needs_an_extra_ends_with_one_line_that_names_it(environment: Environment) -> None:
    done = environment.command("train", "toy/visionllama_tiny_digits", status=2)
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert "Traceback" not in done.stderr
    assert f'Fix: {environment.python} -m pip install "mmvisionllama[cls]"' in line


def test_with_its_extra_a_config_is_found_by_name_and_trains_in_two_processes(
    environment: Environment,
) -> None:
    environment.pip("mmvisionllama[toy]")
    before = sorted(environment.folder.iterdir())
    done = environment.command("train", "toy/visionllama_tiny_digits", "--dry-run", NPROC="2", GPUS="0")
    assert "2 processes" in done.stdout + done.stderr
    assert sorted(environment.folder.iterdir()) == before


def test_with_its_extra_a_model_of_the_package_predicts_by_its_name(environment: Environment) -> None:
    environment.pip("mmvisionllama[toy]")
    image = ROOT / "mmvisionllama/tiny_models/images/DigitScenes_val_000008.jpg"
    for name in ("visionllama-tiny-digitscenes", "visionllama-tiny-upernet-digitscenes"):
        environment.command("predict", name, str(image), "--out", name)
        assert (environment.folder / name / "predictions.json").is_file()
