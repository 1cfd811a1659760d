"""Released weights by name: which file each is, its size, config and published number; fetch and convert."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from mmvisionllama.checkpoint.released.files import SUFFIX, convert_file
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import why_no_file

PLACE = "MMVISIONLLAMA_RELEASED"
_AUTHORS = "https://github.com/Meituan-AutoML/VisionLLaMA"


@dataclass(frozen=True)
class Release:
    """Weights that the authors published.

    Attributes:
        file: Its name here: that of the authors' model, of MAE's that of the published file.
        size: About, as published or as many bytes as its weights have in float32.
        family: See ``FAMILIES``.
        arch: Of the backbone.
        config: That tests and predicts with them.
        published: What the paper reports.
    """

    file: str
    size: str
    family: str
    arch: str
    config: str
    published: str


def _plain(arch: str, size: str, top1: str) -> Release:
    stem = "visionllama" if arch == "base" else f"visionllama_{arch}"
    told = f"ImageNet-1K top-1 {top1} (Tab. 2)"
    file = f"vit_llama_rope_{arch}_patch16.pth"
    return Release(file, size, "plain", arch, f"configs/cls/{stem}_in1k_released.py", told)


def _pyramid(arch: str, size: str, top1: str) -> Release:
    stem = "pyramid_visionllama" if arch == "base" else f"pyramid_visionllama_{arch}"
    told = f"ImageNet-1K top-1 {top1} (Tab. 2)"
    file = f"pllama_wols_{arch}_patch16.pth"
    return Release(file, size, "pyramid", arch, f"configs/cls/{stem}_in1k_released.py", told)


def _mae(epochs: int, size: str, top1: str, probe: str) -> Release:
    told = f"ImageNet-1K top-1 {top1} after fine-tuning, {probe} by a linear probe (Tab. 3)"
    config = f"configs/pretrain/visionllama_mae_in1k_{epochs}e_released.py"
    return Release(f"epoch_{epochs}.pth", size, "mae", "base", config, told)


RELEASED = {
    "visionllama-small-in1k-released": _plain("small", "88 MB", "81.6"),
    "visionllama-base-in1k-released": _plain("base", "346 MB", "83.6"),
    "visionllama-large-in1k-released": _plain("large", "1.24 GB", "84.6"),
    "pyramid-visionllama-small-in1k-released": _pyramid("small", "104 MB", "81.6"),
    "pyramid-visionllama-base-in1k-released": _pyramid("base", "224 MB", "83.2"),
    "pyramid-visionllama-large-in1k-released": _pyramid("large", "419 MB", "83.6"),
    "visionllama-base-mae-800e-in1k-released": _mae(800, "3.40 GB", "84.0", "69.7"),
    "visionllama-base-mae-1600e-in1k-released": _mae(1600, "3.43 GB", "84.3", "71.7"),
}


def released_folder() -> Path:
    """Return where released weights are kept, as published and converted."""
    return Path(torch.hub.get_dir(), "mmvisionllama")


def released_weights(name: str) -> Path:
    """Return the converted weights of a released model; the first call fetches, converts and verifies them.

    They come from ``released_folder()``, if the file lies there, else from ``$MMVISIONLLAMA_RELEASED``, a
    folder or an ``http(s)`` address that has the files under the names of the table.

    Args:
        name: One of ``RELEASED``.

    Raises: CheckpointError: for a file that is not there, saying what to download and where to put it, or one
        that is another model.
    """
    release, folder = RELEASED[name], released_folder()
    target = folder / f"{name}{SUFFIX}"
    if target.is_file() and target.with_suffix(".json").is_file():
        return target
    source = _source(name, release, folder)
    converted = convert_file(source, target, family=release.family, force=True)
    arch = converted.model.get("backbone", converted.model).get("arch")
    if arch != release.arch:
        target.unlink()
        target.with_suffix(".json").unlink()
        raise CheckpointError(f"{source} is no {name}: it has the size {arch!r}, not {release.arch!r}")
    return target


def _source(name: str, release: Release, folder: Path) -> str:
    own = folder / release.file
    if why_no_file(own) is None:
        return str(own)
    if place := os.environ.get(PLACE, "").rstrip("/"):
        return f"{place}/{release.file}"
    raise CheckpointError(
        f"the weights of {name} are not here: download {release.file} ({release.size}) of the authors, see "
        f"{_AUTHORS}, and put it at {own}; or let ${PLACE} name a folder or an address that has it"
    )
