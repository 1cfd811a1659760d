"""Check the environment (Python, torch, the hosts), and name the exact command that mends it.

It runs where torch or any other library is missing or broken, so all of them are imported inside the checks.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mmvisionllama import compat

SUPPORTED_PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))
# Where a module's distribution has another name.
_DISTRIBUTIONS = {
    "mlflow": "mlflow-skinny",
    "pytorch_grad_cam": "grad-cam",
    "mmengine": "onedl-mmengine",
    "mmcv": "onedl-mmcv",
    "mmpretrain": "onedl-mmpretrain",
    "mmseg": "onedl-mmsegmentation",
    "mmdet": "onedl-mmdetection",
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "PIL": "pillow",
    "yaml": "pyyaml",
}
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Part:
    """A piece of the environment: its check returns one line or raises, its modules are what it stands for.

    ``rebuild`` is for a part that a plain new installation does not mend. A part of an extra may be absent,
    but once installed it has to work.
    """

    name: str
    check: Callable[[], str]
    modules: tuple[str, ...]
    rebuild: Callable[[], str] | None = None
    extra: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check found out; ``fix`` is a shell command, empty where nothing is wrong."""

    name: str
    mark: str
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.mark:<6} {self.name:<15} {self.detail}"
        return f"{line}\n{'':<22} fix: {self.fix}" if self.fix else line


def examine(part: Part) -> Finding:
    """Run one check and turn whatever goes wrong into a finding with its fix."""
    try:
        return Finding(part.name, "ok", part.check())
    except Exception as error:
        return _diagnose(part, error)


def _diagnose(part: Part, error: Exception) -> Finding:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and "." not in missing:  # a dot means that the library is there, but of a wrong version
        if part.extra and missing in part.modules:
            fix = pip_install(*part.modules) if _pins() else compat.install_extra(part.extra)
            return Finding(part.name, "absent", f"{missing} is not installed (optional)", fix)
        return Finding(part.name, "FAIL", f"{missing} is not installed", pip_install(missing))
    fix = part.rebuild() if part.rebuild else pip_install(*part.modules, options=["--force-reinstall"])
    return Finding(part.name, "FAIL", f"{type(error).__name__}: {error}".splitlines()[0], fix)


def pip_install(*modules: str, options: list[str] | None = None) -> str:
    """The shell command that installs modules into the Python that runs now."""
    wanted = [_requirement(distribution_of(x)) for x in modules]
    return shlex.join([sys.executable, "-m", "pip", "install", *_constraints(), *(options or []), *wanted])


def distribution_of(module: str) -> str:
    """What pip calls the distribution that has a module."""
    return _DISTRIBUTIONS.get(module, module)


def replace_operators() -> str:
    """The shell command after which mmcv's operators are others than those that proved wrong."""
    from mmvisionllama import ops

    if not compat.operators_are_compiled():
        return ops.compile_command()
    # Built apart from torch, mmcv gets none, and `ops` stands in. pip's cache may hold the present ones.
    options = ["--no-deps", "--force-reinstall", "--no-cache-dir", "--no-binary=onedl-mmcv"]
    return pip_install("mmcv", options=options)


def _constraints() -> list[str]:
    file = _CHECKOUT / "constraints.txt"
    return ["-c", str(file)] if file.exists() else []


def _requirement(distribution: str) -> str:
    """As pip should be asked for it: the pin of this checkout, else the range of the installed package."""
    known = [*_pins(), *_ranges()]
    wanted = (line.partition(";")[0].strip() for line in known)
    return next((x for x in wanted if re.match(rf"{re.escape(distribution)}\s*[=<>~!]", x)), distribution)


def _pins() -> list[str]:
    file = _CHECKOUT / "requirements.txt"
    return file.read_text().splitlines() if file.exists() else []


def _ranges() -> list[str]:
    try:
        return metadata.requires("mmvisionllama") or []
    except metadata.PackageNotFoundError:
        return []


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The one check whose fix is no pip command."""
    detail = f"{'.'.join(map(str, version))}, {sys.executable}"
    if version[:2] in SUPPORTED_PYTHONS:
        return Finding("Python", "ok", detail)
    allowed = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED_PYTHONS)
    return Finding("Python", "FAIL", f"{detail}; supported: {allowed}", "PYTHON=python3.11 make setup")


def _torch() -> str:
    import torch

    total = (torch.ones(2, 2) @ torch.ones(2, 2)).sum().item()
    if total != 8:
        raise RuntimeError(f"a product of ones sums to {total}, not to 8")
    return f"{torch.__version__}, {f'CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU only'}"


def _devices() -> str:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = []
    for index in range(torch.cuda.device_count()):
        torch.ones(1, device=f"cuda:{index}").sum().item()
        gpus.append(torch.cuda.get_device_name(index))
    return f"{cores} CPU cores, GPUs: {', '.join(gpus) or 'none'}"


def _torchvision() -> str:
    import torch
    import torchvision
    from torchvision.transforms import functional

    functional.hflip(torch.zeros(3, 2, 2))
    if compat.torchvision_is_patched():
        return (
            f"{torchvision.__version__}, compiled for another torch: its Python part alone, "
            "which is enough, loads once mmvisionllama is imported"
        )
    return torchvision.__version__


def _mmengine() -> str:
    import mmengine

    cfg = mmengine.Config({"optimizer": {"lr": 1}})
    cfg.merge_from_dict({"optimizer.lr": 2})
    if cfg.optimizer.lr != 2:
        raise RuntimeError(f"merging lr=2 into a config gave {cfg.optimizer.lr}")
    return mmengine.__version__


def _mmcv_operators() -> str:
    compiled = compat.operators_are_compiled()
    import mmcv
    import torch
    from mmcv.ops import nms, roi_align

    from mmvisionllama import ops

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in devices:
        boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [4, 4, 8, 8]], device=device)
        _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)
        image = torch.arange(64.0, device=device).view(1, 1, 8, 8).requires_grad_()
        pooled = roi_align(image, boxes.new_tensor([[0, 1, 1, 5, 5]]), 2)
        pooled.sum().backward()
        found = (kept.tolist(), pooled.flatten().tolist(), image.grad.sum().item())
        if found != ([0, 2], [13.5, 15.5, 29.5, 31.5], 4):
            raise RuntimeError(
                f"wrong results on {device}: nms {found[0]}, RoIAlign {found[1]}, gradient {found[2]}"
            )
    if compiled:
        return f"{mmcv.__version__}, compiled: nms and RoIAlign run on {' and '.join(devices)}"
    run = " and ".join(f"{device} ({ops.backend(device)})" for device in devices)
    return (
        f"{mmcv.__version__}, not compiled: nms and RoIAlign run on {run}; that is enough here\n"
        f"{'':<22} to compile them all the same: {ops.compile_command()}"
    )


def _classification() -> str:
    import mmpretrain
    import torch
    from mmpretrain.models import build_classifier

    head = {"type": "LinearClsHead", "num_classes": 10, "in_channels": 84}
    model = build_classifier({"type": "ImageClassifier", "backbone": {"type": "LeNet5"}, "head": head})
    model.extract_feat(torch.zeros(2, 1, 32, 32))
    return f"mmpretrain {mmpretrain.__version__} runs a classifier"


def _segmentation() -> str:
    import mmseg
    import torch
    from mmseg.models.decode_heads import UPerHead

    sizes = {
        "in_channels": (4, 8),
        "in_index": (0, 1),
        "channels": 4,
        "num_classes": 3,
        "pool_scales": (1, 2),
    }
    head = UPerHead(**sizes, loss_decode={"type": "CrossEntropyLoss", "avg_non_ignore": True}).eval()
    head([torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 4, 4)])
    return f"mmseg {mmseg.__version__} runs an UperNet head"


def _detection() -> str:
    import mmdet
    import torch
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

    layer = {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0}
    extractor = SingleRoIExtractor(roi_layer=layer, out_channels=4, featmap_strides=[4])
    extractor([torch.zeros(1, 4, 8, 8)], torch.tensor([[0.0, 0, 0, 16, 16]]))
    return f"mmdet {mmdet.__version__} runs a RoI extractor"


def _generation() -> str:
    import diffusers
    import torch
    import torchdiffeq

    torchdiffeq.odeint(lambda t, x: -x, torch.ones(1), torch.tensor([0.0, 1.0]))
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=10)
    scheduler.add_noise(torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([9]))
    return f"diffusers {diffusers.__version__} and torchdiffeq {torchdiffeq.__version__} run"


PARTS = (
    Part("torch", _torch, ("torch",)),
    Part("devices", _devices, ("torch",)),
    Part("torchvision", _torchvision, ("torchvision",), extra="cls"),
    Part("mmengine", _mmengine, ("mmengine",)),
    Part("mmcv operators", _mmcv_operators, ("mmcv",), rebuild=replace_operators),
    Part("classification", _classification, ("mmpretrain",), extra="cls"),
    Part("segmentation", _segmentation, ("mmseg",), extra="seg"),
    Part("detection", _detection, ("mmdet",), extra="det"),
    Part("generation", _generation, ("diffusers", "torchdiffeq"), extra="gen"),
)


def findings() -> Iterator[Finding]:
    """Yield what is found out, one at a time; nothing else can be mended before the Python version is."""
    python = check_python()
    yield python
    if python.mark == "ok":
        yield from map(examine, PARTS)
