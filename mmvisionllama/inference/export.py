"""Export a trained model to one file, and compare what the file computes with the model."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from mmvisionllama import __version__
from mmvisionllama.errors import ExportError, InexactExport
from mmvisionllama.files import atomic_path
from mmvisionllama.inference.export_networks import ExportNetwork, export_network
from mmvisionllama.inference.exported_files import (
    Format,
    Run,
    run_onnx,
    run_pt2,
    run_safetensors,
    second_size,
    traced,
    write_onnx,
    write_pt2,
    write_safetensors,
)
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.models.grids import Grid
from mmvisionllama.suggestions import choose

MOST = 1e-4  # difference between the file and the model
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Compared:
    """The largest difference between a file and its model for one input."""

    batch: int
    hw: Grid
    difference: float


def export(
    model: TrainedModel,
    to: Format,
    out: Path,
    *,
    size: str = "dynamic",
    batch: str = "dynamic",
    backbone: bool = False,
) -> list[Compared]:
    """Write a model to a file that needs no code of ours, except ``safetensors``, which ``load`` reads.

    Args:
        out: Ends with ``.onnx``, ``.pt2`` or ``.safetensors``; it is there whole, or stays as it was.
        size: ``224x224`` (height x width), or ``dynamic``.
        batch: A number of images, or ``dynamic``.
        backbone: Export the backbone's features in the place of the task's outputs.

    Returns: How the file compares with the model, at two sizes and two batches where they are free.
    Raises:
        ExportError: for a size, a file name or a model that cannot be exported.
        InexactExport: if the file computes something else by more than ``MOST``.
    """
    choose("--to", to, get_args(Format))
    if out.suffix != f".{to}":
        raise ExportError(f"--out {out}: a file of {to} ends with .{to}")
    if out.is_dir():
        raise ExportError(f"--out {out} is a folder: give the name of a file")
    hw, count = _size(size), _batch(batch)
    if to == "safetensors" and (hw or count):
        raise ExportError("--to safetensors keeps weights, of no size or batch: leave --size and --batch out")
    if to == "onnx":
        for name in _NEEDED:
            import_module(name)  # before minutes of work; what is missing is named with its extra
    network = export_network(model.to("cpu"), backbone=backbone)
    _require_size(network, hw)
    about = _facts(model, network)
    with atomic_path(out) as path:
        if to == "safetensors":
            write_safetensors(model, about, path)
            run: Run = run_safetensors(path, backbone=backbone)
        else:
            program = traced(network, batch=count, hw=hw)
            if to == "onnx":
                write_onnx(network, program, about, path)
                run = run_onnx(path)
            else:
                write_pt2(program, about, path)
                run = run_pt2(path)
        compared = list(_compared(network, run, count, hw))
        worst = max(compared, key=lambda x: x.difference if x.difference == x.difference else float("inf"))
        if not worst.difference <= MOST:
            raise InexactExport(
                f"the file differs from the model by {worst.difference:.1e} for {worst.batch} images of "
                f"{worst.hw[0]}x{worst.hw[1]}; at most {MOST:.0e} is taken, so {out} was not written"
            )
    return compared


def _size(given: str) -> Grid | None:
    if given == "dynamic":
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", given)
    if not found or not int(found[1]) or not int(found[2]):
        raise ExportError(f"--size: expected HxW in pixels, e.g. 224x224, or dynamic, got {given!r}")
    return int(found[1]), int(found[2])


def _batch(given: str) -> int | None:
    if given == "dynamic":
        return None
    if not given.isdecimal() or not int(given):
        raise ExportError(f"--batch: expected a whole number of at least 1, or dynamic, got {given!r}")
    return int(given)


def _require_size(network: ExportNetwork, hw: Grid | None) -> None:
    if hw and any(side % network.step for side in hw):
        raise ExportError(
            f"--size {hw[0]}x{hw[1]}: the model takes multiples of its patches, which are {network.step} wide"
        )


def _facts(model: TrainedModel, network: ExportNetwork) -> dict[str, Any]:
    image = "float32 (B, channels, height, width), RGB or grey of 0 to 255"
    return {
        "version": __version__,
        "task": model.task,
        "classes": list(model.classes),
        "inputs": list(network.inputs),
        "image": image if network.inputs == ("image",) else None,
        "trained_at": list(network.hw),
        "outputs": list(network.outputs),
        **network.facts,
    }


@torch.no_grad()
def _compared(network: ExportNetwork, run: Run, batch: int | None, hw: Grid | None) -> Iterator[Compared]:
    for size in [hw] if hw else [network.hw, second_size(network)]:
        for count in [batch] if batch else [1, 3]:
            inputs = network.example(count, size)
            yield Compared(count, size, _difference(run(*inputs), network.reference(*inputs)))


def _difference(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> float:
    if [x.shape for x in one] != [x.shape for x in other]:
        return float("inf")
    return max((x - y).abs().max().item() for x, y in zip(one, other, strict=True))


def default_out(checkpoint: str, to: Format) -> Path:
    """Return where a command writes that was not told: the checkpoint's name, in the present folder."""
    return Path(f"{Path(os.path.basename(checkpoint.rstrip('/'))).stem}.{to}")
