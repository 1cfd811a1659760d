"""What one process of a run knows for itself, beside the weights and the optimizer that all of them share."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mmvisionllama.checkpoint.reading import CheckpointError
from mmvisionllama.engine.random_state import capture_random_state, restore_random_state


def capture_process(runner: Runner) -> dict[str, Any]:
    """Return random state, buffers, and the gradients of an accumulation that has not ended."""
    gradients = {}
    if inside_accumulation(runner.optim_wrapper):
        named = unwrapped(runner).named_parameters()
        gradients = {name: local(x.grad).cpu() for name, x in named if x.grad is not None}
    return {
        "random": capture_random_state(),
        "buffers": {name: x.detach().cpu().clone() for name, x in _buffers(runner)},
        "gradients": gradients,
    }


def restore_process(runner: Runner, state: dict[str, Any]) -> None:
    """Go back to what ``capture_process`` found in a process of the same rank."""
    restore_random_state(state["random"])
    buffers, parameters = dict(_buffers(runner)), dict(unwrapped(runner).named_parameters())
    with torch.no_grad():
        for name, value in state["buffers"].items():
            buffers[name].copy_(value)
    for name, gradient in state["gradients"].items():
        parameters[name].grad = _like(parameters[name], gradient)


def without_common_buffers(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the buffers that are those of the first process: the checkpoint has these already.

    Batch norm, for example, keeps statistics of the images of its own process.
    """
    first = states[0]["buffers"]
    return [
        {**state, "buffers": {name: x for name, x in state["buffers"].items() if not x.equal(first[name])}}
        for state in states
    ]


def inside_accumulation(optim_wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    """Whether gradients have been computed that wait for more before the weights change."""
    wrappers = optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    return not all(x.should_update() for x in wrappers)


def unwrapped(runner: Runner) -> nn.Module:
    """Return the model without what distributes it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def local(x: Tensor) -> Tensor:
    """Return the part of a sharded tensor that this process has; any other tensor is its own."""
    return x.to_local() if isinstance(x, DTensor) else x


def _like(parameter: Tensor, part: Tensor) -> Tensor:
    own = local(parameter)
    if own.shape != part.shape:
        raise CheckpointError(
            f"its unfinished accumulation has gradients of {tuple(part.shape)} in the place of "
            f"{tuple(own.shape)}: they are sharded in one run and whole in the other. Go on from a "
            "checkpoint at the end of a step"
        )
    part = part.to(own, copy=True)
    if not isinstance(parameter, DTensor):
        return part
    layout = dict(shape=parameter.shape, stride=parameter.stride())
    return DTensor.from_local(part, parameter.device_mesh, parameter.placements, **layout)


def _buffers(runner: Runner) -> Iterator[tuple[str, Tensor]]:
    averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
    for index, model in enumerate([unwrapped(runner), *averages]):
        for name, buffer in model.named_buffers():
            yield f"{index}.{name}", buffer
