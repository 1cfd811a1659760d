"""One model in a process of its own, which works only when it is asked to."""

import resource
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor, nn

from mmvisionllama import compat
from mmvisionllama.benchmark.specs import Subject

Forward = Callable[[], Tensor | Iterable[Any]]


def serve(connection: Connection, subject: Subject, setting: dict[str, Any]) -> None:
    """Build the model, say its size, then answer each request with the seconds that one step took."""
    try:
        compat.prepare()
        torch.set_num_threads(setting["threads"])
        model, idle = build_subject(subject, setting["device"]), _peak_bytes(setting["device"])
        connection.send(("ready", sum(parameter.numel() for parameter in model.parameters())))
        step = make_step(model, _forward_detector if subject.whole else forward_backbone, setting)
        while connection.recv():
            start = time.perf_counter()
            step()
            _finish(setting["device"])
            peak = _peak_bytes(setting["device"]) - (idle if setting["device"] == "cpu" else 0)
            connection.send(("step", (time.perf_counter() - start, peak)))
    except Exception as error:  # told to the parent, which names the model and stops the run
        connection.send(("error", f"{type(error).__name__}: {error}"))


def build_subject(subject: Subject, device: str) -> nn.Module:
    from mmengine.config import ConfigDict
    from mmengine.registry import MODELS, init_default_scope

    init_default_scope(subject.scope)
    torch.manual_seed(0)
    return MODELS.build(ConfigDict(subject.model)).to(device)


def make_step(
    model: nn.Module, make_forward: Callable[[nn.Module, dict], Forward], setting: dict[str, Any]
) -> Callable[[], None]:
    device, training = setting["device"], setting["mode"] == "train"
    model.train(training)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True) if training else None
    forward = make_forward(model, setting)
    autocast = torch.autocast(device, torch.bfloat16, enabled=setting["amp"])

    def step() -> None:
        with torch.set_grad_enabled(training), autocast:
            outs = forward()
        if training:
            sum(out.float().sum() for out in _tensors(outs)).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


def forward_backbone(model: nn.Module, setting: dict[str, Any]) -> Forward:
    img = torch.randn(setting["batch"], 3, *setting["size"], device=setting["device"])
    compiled = torch.compile(model) if setting["compile"] else model
    return lambda: [out.float().square().mean() for out in _tensors(compiled(img))]


def _forward_detector(model: nn.Module, setting: dict[str, Any]) -> Forward:
    """Compute the losses of random images with eight random objects each, or the predictions for them."""
    from mmdet.testing import demo_mm_inputs

    if setting["compile"]:
        model.backbone.compile()
    num_classes, batch = model.roi_head.bbox_head.num_classes, setting["batch"]
    shape, counts = (3, *setting["size"]), [8] * batch
    data = demo_mm_inputs(
        batch, shape, counts, num_classes, with_mask=model.roi_head.with_mask, device=setting["device"]
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
