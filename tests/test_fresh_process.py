"""Backbones in a user's own script: a process of its own, with nothing that pytest has prepared."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("mmdet", "mmpretrain", "mmseg", "torchvision")
EXTRAS = (
    "diffusers",
    "matplotlib",
    "scipy",
    "skimage",
    "sklearn",
    "tensorboard",
    "torch_fidelity",
    "torchdiffeq",
)
HOST_REGISTRIES = ("mmdet", "mmseg", "mmpretrain")
WITHOUT_HOSTS = f"""
from importlib.machinery import PathFinder

find = PathFinder.find_spec
absent = {HOSTS + EXTRAS}
PathFinder.find_spec = lambda name, *args: None if name.partition(".")[0] in absent else find(name, *args)
"""
LOADED_HOSTS = f"""
import sys

print(sorted({{x.partition(".")[0] for x in sys.modules}}.intersection({HOSTS + EXTRAS})))
"""
BUILD = """
import torch

images = torch.rand(1, 3, 64, 64)
for name in ("VisionLLaMA", "PyramidVisionLLaMA"):
    built = MODELS.build(dict(type=f"mmvisionllama.{name}", arch="small", img_size=64))
    print([tuple(x.shape) for x in built(images)])
"""
BY_NAME = """
import mmvisionllama

for name in ("visionllama_small", "pyramid_visionllama_small"):
    model = mmvisionllama.create_model(name, num_classes=0, img_size=64)
    print([tuple(model(images).shape)])
"""
BOTH_BACKBONES = f"from mmengine.registry import MODELS\n{BUILD}"
SHAPES = ["[(1, 384)]", "[(1, 512)]"]


def run(script: str, folder: Path) -> list[str]:
    """Run a script elsewhere, and return the lines that it printed."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def snippets(page: str) -> list[str]:
    """Return the Python of a page that builds a backbone."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [x for x in blocks if "VisionLLaMA(" in x]


def test_the_snippet_of_the_readme_runs_as_it_stands_and_backbones_load_no_host_and_no_extra(
    tmp_path: Path,
) -> None:
    (snippet,) = snippets("README.md")
    assert run(snippet + BOTH_BACKBONES + BY_NAME + LOADED_HOSTS, tmp_path) == [*SHAPES, *SHAPES, "[]"]


def test_backbones_build_and_run_where_no_host_and_no_extra_is_installed(tmp_path: Path) -> None:
    (snippet,) = snippets("docs/architecture.md")
    assert run(WITHOUT_HOSTS + snippet + BOTH_BACKBONES, tmp_path) == SHAPES


def test_the_registry_of_every_host_builds_a_backbone_and_mmpretrain_a_classifier_around_it(
    tmp_path: Path,
) -> None:
    registries = "\n".join(f"from {host}.registry import MODELS as {host}" for host in HOST_REGISTRIES)
    script = f"""
from mmengine.registry import init_default_scope
{registries}

import mmvisionllama
for MODELS in ({", ".join(HOST_REGISTRIES)}):
{textwrap.indent(BUILD, "    ")}
init_default_scope("mmpretrain")
backbone = dict(type="mmvisionllama.VisionLLaMA", arch="small", img_size=64)
head = dict(type="LinearClsHead", num_classes=10, in_channels=384)
model = mmpretrain.build(dict(type="ImageClassifier", backbone=backbone, head=head))
print(tuple(model(images).shape))
"""
    assert run(script, tmp_path)[-7:] == [*SHAPES * len(HOST_REGISTRIES), "(1, 10)"]
