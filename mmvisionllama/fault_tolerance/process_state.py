"""Per-process state for exact resume: random state, buffers, partial gradients."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor
from torch.distributed.tensor import DTensor

from mmvisionllama.errors import CheckpointError
from mmvisionllama.fault_tolerance.random_state import capture_random_state, restore_random_state
from mmvisionllama.runner_parts import averages, local, optim_wrappers, unwrapped


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


def same_streams(states: list[dict[str, Any]]) -> bool:
    """Whether processes drew the same random numbers, as those of versions before 0.2 did."""
    first, second = (state["random"]["torch"] for state in states[:2])
    return first.equal(second)


def inside_accumulation(optim_wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    """Whether gradients have been computed that wait for more before the weights change."""
    return not all(x.should_update() for x in optim_wrappers(optim_wrapper))


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
    for index, model in enumerate([unwrapped(runner), *averages(runner)]):
        for name, buffer in model.named_buffers():
            yield f"{index}.{name}", buffer
