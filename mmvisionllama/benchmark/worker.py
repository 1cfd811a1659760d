"""Worker process of the benchmark: build one model, and time a step at each request."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmvisionllama.benchmark.model_specs import ModelSpec

Forward = Callable[[], Tensor | Iterable[Any]]


@dataclass(frozen=True)
class Setting:
    """The step that every model makes.

    Args:
        size: Image height and width in pixels.
        amp: Autocast to bfloat16.
    """

    mode: Literal["forward", "train"]
    size: tuple[int, int]
    batch: int
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    compile: bool = False
    amp: bool = False


def quartiles(ratios: list[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    low, median, high = statistics.quantiles(ratios * (2 if len(ratios) == 1 else 1), n=4, method="inclusive")
    return low, median, high


def serve(connection: Connection, spec: ModelSpec, setting: Setting) -> None:
    """Build the model, say its size, then answer each request with the seconds that one step took."""
    try:
        torch.set_num_threads(setting.threads)
        model, idle = build_spec(spec, setting.device), _peak_bytes(setting.device)
        connection.send(("ready", sum(parameter.numel() for parameter in model.parameters())))
        step = make_step(model, forward_detector if spec.whole else forward_backbone, setting)
        while connection.recv():
            start = time.perf_counter()
            step()
            _finish(setting.device)
            peak = _peak_bytes(setting.device) - (idle if setting.device == "cpu" else 0)
            connection.send(("step", (time.perf_counter() - start, peak)))
    except Exception as error:  # the parent raises it with the name of the model
        connection.send(("error", f"{type(error).__name__}: {error}"))


def build_spec(spec: ModelSpec, device: str) -> nn.Module:
    from mmengine.config import ConfigDict
    from mmengine.registry import MODELS, init_default_scope

    init_default_scope(spec.scope)
    torch.manual_seed(0)
    return MODELS.build(ConfigDict(spec.model)).to(device)


def make_step(
    model: nn.Module, make_forward: Callable[[nn.Module, Setting], Forward], setting: Setting
) -> Callable[[], None]:
    device, training = setting.device, setting.mode == "train"
    model.train(training)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True) if training else None
    forward = make_forward(model, setting)
    autocast = torch.autocast(device, torch.bfloat16, enabled=setting.amp)

    def step() -> None:
        with torch.set_grad_enabled(training), autocast:
            outs = forward()
        if training:
            sum(out.float().sum() for out in _tensors(outs)).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


def forward_backbone(model: nn.Module, setting: Setting) -> Forward:
    img = torch.randn(setting.batch, 3, *setting.size, device=setting.device)
    compiled = torch.compile(model) if setting.compile else model
    return lambda: [out.float().square().mean() for out in _tensors(compiled(img))]


def forward_detector(model: nn.Module, setting: Setting) -> Forward:
    """Compute the losses of random images with eight random objects each, or the predictions for them."""
    from mmdet.testing import demo_mm_inputs

    if setting.compile:
        model.backbone.compile()
    num_classes, batch = model.roi_head.bbox_head.num_classes, setting.batch
    shape, counts = (3, *setting.size), [8] * batch
    data = demo_mm_inputs(
        batch, shape, counts, num_classes, with_mask=model.roi_head.with_mask, device=setting.device
    )
    inputs = model.data_preprocessor(data, training=model.training)
    if not model.training:
        return lambda: model(**inputs, mode="tensor")
    return lambda: model.parse_losses(model(**inputs, mode="loss"))[0]


def _tensors(outs: Tensor | Iterable[Any]) -> Iterable[Tensor]:
    if isinstance(outs, Tensor):
        yield outs
    else:
        for out in outs:
            yield from _tensors(out)


def _finish(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _peak_bytes(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
