"""Say what of the environment works, and the exact command that mends what does not.

``python -m mmvisionllama.doctor`` ends with status 0 where everything required works. It runs where torch or
any other library is missing or broken, so all of them are imported inside the checks.
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

from mmvisionllama import __version__, compat

SUPPORTED_PYTHONS = ((3, 10), (3, 11), (3, 12))
# Where a module's distribution has another name.
_DISTRIBUTIONS = {
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
_CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Part:
    """A piece of the environment: its check returns one line or raises, its modules are what it stands for.

    ``rebuild`` is for a part that a plain new installation does not mend; an optional part may be absent, but
    once installed it has to work.
    """

    name: str
    check: Callable[[], str]
    modules: tuple[str, ...]
    rebuild: Callable[[], str] | None = None
    optional: bool = False


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
    if missing == "mmcv._ext":
        return Finding(part.name, "FAIL", "mmcv lacks its compiled operators", rebuild_mmcv())
    if missing and "." not in missing:  # a dot means that the library is there, but of a wrong version
        if part.optional and missing in part.modules:
            return Finding(
                part.name, "absent", f"{missing} is not installed (optional)", pip_install(*part.modules)
            )
        return Finding(part.name, "FAIL", f"{missing} is not installed", pip_install(missing))
    fix = part.rebuild() if part.rebuild else pip_install(*part.modules, options=["--force-reinstall"])
    return Finding(part.name, "FAIL", f"{type(error).__name__}: {error}".splitlines()[0], fix)


def pip_install(*modules: str, options: list[str] | None = None) -> str:
    """The shell command that installs modules into the Python that runs now."""
    wanted = [_requirement(_DISTRIBUTIONS.get(x, x)) for x in modules]
    return shlex.join(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-build-isolation",
            *_constraints(),
            *(options or []),
            *wanted,
        ]
    )


def rebuild_mmcv() -> str:
    """The shell command that compiles mmcv's operators, for the GPU too where torch sees one."""
    import torch

    # Neither pip's cache nor a folder of wheels may supply once more the wheel that has proved unusable.
    options = ["--no-deps", "--force-reinstall", "--no-cache-dir", "--no-binary=onedl-mmcv"]
    cuda = "FORCE_CUDA=1 " if torch.cuda.is_available() else ""
    return f"{cuda}CFLAGS=-g0 {pip_install('mmcv', options=options)}"


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
    compat.prepare()
    import torch
    import torchvision
    from torchvision.transforms import functional

    functional.hflip(torch.zeros(3, 2, 2))
    if compat.torchvision_is_patched():
        return (
            f"{torchvision.__version__}, Python part alone, compiled for another torch; that is enough here"
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
    import mmcv
    import torch
    from mmcv.ops import nms, roi_align

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in devices:
        boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [4, 4, 8, 8]], device=device)
        _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)
        pooled = roi_align(torch.ones(1, 1, 8, 8, device=device), boxes.new_tensor([[0, 0, 0, 4, 4]]), 2)
        if kept.tolist() != [0, 2] or pooled.unique().tolist() != [1]:
            raise RuntimeError(f"wrong results on {device}: nms {kept.tolist()}, RoIAlign {pooled.tolist()}")
    return f"{mmcv.__version__}, nms and RoIAlign run on {' and '.join(devices)}"


def _classification() -> str:
    compat.prepare()
    import mmpretrain
    import torch
    from mmpretrain.models import build_classifier

    head = {"type": "LinearClsHead", "num_classes": 10, "in_channels": 84}
    model = build_classifier({"type": "ImageClassifier", "backbone": {"type": "LeNet5"}, "head": head})
    model.extract_feat(torch.zeros(2, 1, 32, 32))
    return f"mmpretrain {mmpretrain.__version__} runs a classifier"


def _segmentation() -> str:
    compat.prepare()
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
    compat.prepare()
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
    Part("torchvision", _torchvision, ("torchvision",)),
    Part("mmengine", _mmengine, ("mmengine",)),
    Part("mmcv operators", _mmcv_operators, ("mmcv",), rebuild=rebuild_mmcv),
    Part("classification", _classification, ("mmpretrain",)),
    Part("segmentation", _segmentation, ("mmseg",)),
    Part("detection", _detection, ("mmdet",), optional=True),
    Part("generation", _generation, ("diffusers", "torchdiffeq"), optional=True),
)


def findings() -> Iterator[Finding]:
    """Yield what is found out, one at a time; nothing else can be mended before the Python version is."""
    python = check_python()
    yield python
    if python.mark == "ok":
        yield from map(examine, PARTS)


def main() -> int:
    """Print the report; returns the exit status."""
    broken = 0
    sys.stdout.write(f"mmvisionllama {__version__}\n")
    for finding in findings():
        broken += finding.mark == "FAIL"
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
    verdict = (
        f"{broken} of these need a fix; go from top to bottom" if broken else "everything required works"
    )
    sys.stdout.write(f"{verdict}\n")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
