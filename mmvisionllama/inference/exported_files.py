"""Files of an exported network: ONNX, torch's PT2 and safetensors, each written and run."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config
from safetensors.torch import save_file
from torch import Tensor
from torch.export import Dim, ExportedProgram

from mmvisionllama.errors import ExportError
from mmvisionllama.inference.export_networks import ExportNetwork, export_network
from mmvisionllama.inference.preparation import first_loader, pipeline_of
from mmvisionllama.inference.trained_model import TrainedModel, load
from mmvisionllama.models.grids import Grid

Format = Literal["onnx", "pt2", "safetensors"]
METADATA = "mmvisionllama"  # the name of our JSON text in a file
Run = Callable[..., tuple[Tensor, ...]]
_MOST_OF_ONNX = 2**31  # bytes, of the one message that a file is


def write_onnx(
    network: ExportNetwork, program: ExportedProgram, about: Mapping[str, Any], path: Path
) -> None:
    """Write an ONNX file with ``about`` as JSON in its metadata.

    Raises: ExportError: if the weights are more than such a file holds.
    """
    size = sum(x.numel() * x.element_size() for x in network.module.state_dict().values())
    if size >= _MOST_OF_ONNX:
        raise ExportError(f"{size / 2**30:.1f} GiB of weights: an ONNX file holds 2. Take --to pt2")
    names = dict(input_names=list(network.inputs), output_names=list(network.outputs))
    made = torch.onnx.export(program, dynamo=True, verbose=False, **names)
    made.model.metadata_props[METADATA] = json.dumps(about)
    made.save(path)


def run_onnx(path: Path) -> Run:
    """Return what runs an ONNX file by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        return tuple(map(torch.from_numpy, session.run(None, given)))

    return run


def write_pt2(program: ExportedProgram, about: Mapping[str, Any], path: Path) -> None:
    """Write a program of torch with ``about`` as JSON in an extra file."""
    torch.export.save(program, path, extra_files={f"{METADATA}.json": json.dumps(about)})


def run_pt2(path: Path) -> Run:
    """Return what runs a program of torch."""
    return torch.export.load(path).module()


def write_safetensors(model: TrainedModel, about: Mapping[str, Any], path: Path) -> None:
    """Write the weights with what ``load`` needs beside them: config and names of classes."""
    weights = {name: x.detach().contiguous().clone() for name, x in model.module.state_dict().items()}
    settings = "\n".join(f"{key} = {value!r}" for key, value in _settings(model.cfg).items())
    metainfo = {key: value for key, value in model.metainfo.items() if value is not None}
    told = {"cfg": settings, "dataset_meta": json.dumps(metainfo), METADATA: json.dumps(about)}
    save_file(weights, path, metadata={"format": "pt", **told})


def run_safetensors(path: Path, *, backbone: bool) -> Run:
    """Return what runs the model that ``load`` makes of a file."""
    return export_network(load(path, device="cpu"), backbone=backbone).reference


def _settings(cfg: Config) -> dict[str, Any]:
    kept = cfg.to_dict()
    used = {key: kept[key] for key in ("model", "data_preprocessor", "default_scope") if kept.get(key)}
    loader = first_loader(kept)
    if loader is not None:
        told = {key: loader[key] for key in ("batch_size", "collate_fn") if key in loader}
        used["test_dataloader"] = {**told, "dataset": {"pipeline": pipeline_of(loader["dataset"])}}
    return used


def traced(network: ExportNetwork, *, batch: int | None, hw: Grid | None) -> ExportedProgram:
    """Make a graph of a network by ``torch.export``.

    Args: None: the graph leaves it free.
    Raises: ExportError: if the network cannot take this, or cannot leave it free.
    """
    example = network.example(batch or 3, hw or second_size(network))
    count = None if batch else Dim("batch")
    free = {} if hw else {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    shapes = tuple({**({0: count} if count else {}), **(free if x.ndim == 4 else {})} for x in example)
    try:
        with torch.no_grad():
            return torch.export.export(
                network.module,
                example,
                dynamic_shapes=shapes,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except Exception as error:  # torch tells by almost any error what it cannot trace
        hint = "" if hw else ". Give one: --size HxW"
        what = f"of {hw[0]}x{hw[1]}" if hw else "of free sides"
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ExportError(f"the model cannot be exported for images {what}: {first[0]}{hint}") from error


def second_size(network: ExportNetwork) -> Grid:
    """Return a size beside the training's, oblong, which as few squares as possible divide."""
    (height, width), step = network.hw, network.step
    if step == 1:
        return 3 * height // 4 + 1, 5 * width // 4 - 1
    return max(3 * height // 4 // step, 2) * step, max(5 * width // 4 // step, 2) * step
