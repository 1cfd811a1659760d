"""One backbone in a process of its own, which works only when it is asked to."""

import resource
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from mmvisionllama import compat


def serve(connection: Connection, model_cfg: dict, setting: dict[str, Any]) -> None:
    """Build the model, say its size, then answer each request with the seconds that one step took."""
    try:
        compat.prepare()
        torch.set_num_threads(setting["threads"])
        model, idle = _build(model_cfg, setting["device"]), _peak_bytes(setting["device"])
        connection.send(("ready", sum(parameter.numel() for parameter in model.parameters())))
        step = _step(model, setting)
        while connection.recv():
            start = time.perf_counter()
            step()
            _finish(setting["device"])
            peak = _peak_bytes(setting["device"]) - (idle if setting["device"] == "cpu" else 0)
            connection.send(("step", (time.perf_counter() - start, peak)))
    except Exception as error:  # told to the parent, which names the model and stops the run
        connection.send(("error", f"{type(error).__name__}: {error}"))


def _build(model_cfg: dict, device: str) -> torch.nn.Module:
    from mmengine.registry import MODELS, init_default_scope

    init_default_scope("mmvisionllama")
    torch.manual_seed(0)
    return MODELS.build(model_cfg).to(device)


def _step(model: torch.nn.Module, setting: dict[str, Any]) -> Callable[[], None]:
    device, training = setting["device"], setting["mode"] == "train"
    img = torch.randn(setting["batch"], 3, *setting["size"], device=device)
    model.train(training)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True) if training else None
    forward = torch.compile(model) if setting["compile"] else model
    autocast = torch.autocast(device, torch.bfloat16, enabled=setting["amp"])

    def step() -> None:
        with torch.set_grad_enabled(training), autocast:
            outs = forward(img)
            loss = sum(out.float().square().mean() for out in _tensors(outs)) if training else None
        if training:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


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
