import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mmvisionllama.host_imports import ON_USE

ROOT = Path(__file__).resolve().parents[1]
# All hosts with what of ours extends them; then one use of what waits, for each kind of import statement.
CODE = """
import gc, sys
import mmvisionllama
import mmpretrain.models
assert "mmdet" not in sys.modules
import mmdet.models
from mmdet.registry import MODELS
extension = MODELS.get("ResLayerExtraNorm").__module__
import mmseg.models, mmseg.datasets, mmdet.datasets, mmdet.engine, mmdet.evaluation, mmdet.visualization
import mmvisionllama.datasets.digitscenes_seg, mmvisionllama.datasets.transforms
early = {"sklearn", "scipy", "matplotlib", "timm", "wandb", "imgaug", "numba", "torchvision", "ftfy"}
assert not early & {*sys.modules}, early & {*sys.modules}
assert gc.isenabled()

import torch
from mmengine.utils.dl_utils import collect_env
assert collect_env()["TorchVision"][0].isdigit() and "torchvision" not in sys.modules
from mmdet.models.dense_heads import paa_head
print(extension, type(paa_head.skm.GaussianMixture(2)).__module__)
import numpy as np
from mmseg.models.assigners import hungarian_assigner
print([x.tolist() for x in hungarian_assigner.linear_sum_assignment(np.array([[2, 1], [1, 2]]))])
from mmseg.datasets import onedl
print(onedl.DEFAULT_PALETTE[0])
from mmdet.models.task_modules.tracking import kalman_filter
print(kalman_filter.scipy.linalg.cho_factor(np.eye(1))[1])
from mmdet.utils import mot_error_visualize
print(mot_error_visualize.mcolors.to_rgb("r"), mot_error_visualize.plt.rcParams["figure.dpi"])
from torch.distributed.optim import as_functional_optim
print(type(as_functional_optim(torch.optim.SGD, 0.1)).__name__)
"""


def test_hosts_import_what_they_rarely_use_when_it_is_used() -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if "OneDL" not in line]
    assert said == [
        "mmpretrain.models.utils.res_layer_extra_norm sklearn.mixture._gaussian_mixture",
        "[[0, 1], [1, 0]]",
        "(120, 120, 120)",
        "False",
        "(1.0, 0.0, 0.0) 100.0",
        "_FunctionalSGD",
    ], done.stderr


@pytest.mark.parametrize("name", ON_USE)
def test_what_waits_is_imported_by_its_file_and_no_class_is_derived_from_it(name: str) -> None:
    package, _, rest = name.partition(".")
    file = Path(find_spec(package).origin).parent.joinpath(*rest.split(".")).with_suffix("")
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names, modules = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                modules.update(x.name for x in node.names)
                names.update(
                    (x.asname or x.name).partition(".")[0] for x in node.names if x.name in ON_USE[name]
                )
            case ast.ImportFrom():
                around = name.rpartition(".")[0] if file.stem != "__init__" else name
                full = f"{around}.{node.module}" if node.level else node.module
                modules.add(full)
                names.update(x.asname or x.name for x in node.names if full in ON_USE[name])
    assert modules & {*ON_USE[name]}
    bases = (base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases)
    assert not names & {ast.unparse(base).partition(".")[0] for base in bases}
