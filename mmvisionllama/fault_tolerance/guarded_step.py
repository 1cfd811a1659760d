"""Guarded optimizer steps: where a loss or gradient is NaN or infinite, nothing changes.

Whether a step is bad is decided on the device, for all processes together, and nothing waits for it: fused
optimizers of torch take the decision as a tensor (``found_inf``, as from a ``GradScaler``), averages and
buffers by ``torch.where``. Others cannot be told on the device: each of their steps waits for the decision.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.utils import get_total_norm

from mmvisionllama.host_internals import (
    count_step,
    counted,
    loss_scale,
    not_compiled,
    replace_averaging,
    replace_steps,
    takes_found_inf,
)
from mmvisionllama.runner_parts import averages, local, optim_wrappers, unwrapped

LOSS, GRADIENT, STATE, OWN_LOSS = range(4)


class GuardedStep:
    """The step of one optimizer, and the buffers and averages that go with it.

    Attributes:
        waits: Whether this kind of optimizer makes the guard wait for the device.
    """

    def __init__(self, wrapper: OptimWrapper, model: nn.Module, averages: Iterable[nn.Module]) -> None:
        self._findings: Tensor | None = None
        self._look_at_state = self._pass_over = False
        self._wrapper, self._optimizer = wrapper, wrapper.optimizer
        self._scaler = getattr(wrapper, "loss_scaler", None)
        self._fused = self._scaler is None and takes_found_inf(self._optimizer)
        self.waits = self._scaler is None and not self._fused
        self._backward, self._step = replace_steps(wrapper, self.backward, self.step)
        self._state = [*model.parameters(), *(x for average in averages for x in average.parameters())]
        saved = model.state_dict().keys()
        self._buffers = [buffer for name, buffer in model.named_buffers() if name in saved]
        self._bad: Tensor | bool | None = None
        self._loss: Tensor | None = None
        self._before = [buffer.clone() for buffer in self._buffers]  # for a step that is to change nothing

    def begin(self, *, pass_over: bool, look_at_state: bool) -> None:
        """Begin an iteration.

        Args:
            pass_over: Change nothing in its step, whatever that finds.
            look_at_state: Look at weights and averages in the next step, too.
        """
        self._pass_over = pass_over
        self._look_at_state |= look_at_state

    def end(self) -> Tensor | None:
        """End the iteration: averages that are updated now follow no step of this guard.

        Returns: What its step found, None if it made none. float32 on the device: for the loss, the gradient
            and the state that the step began with, world size - rank of the first process where it is not
            finite, else 0; then 1 if the loss of this process is not.
        """
        findings, self._findings, self._bad = self._findings, None, None
        return findings

    @not_compiled
    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Note whether the loss is finite, then do what the wrapper does."""
        bad = ~torch.isfinite(loss.detach()).all()
        self._loss = bad if self._loss is None else self._loss | bad
        self._backward(loss, **kwargs)

    @counted
    @not_compiled
    def step(self, **kwargs: Any) -> None:
        """Step if all is finite in all processes; else leave weights, optimizer and buffers as they were."""
        self._findings = self._look()
        self._loss, self._look_at_state = None, False
        bad = self._findings[: STATE + 1].amax() > 0
        if self._pass_over:
            self._bad = True
            count_step(self._wrapper)
        elif self._scaler is not None:
            self._poison(bad)
            self._bad = bad
            self._step(**kwargs)
        elif self._fused:
            self._bad = bad
            self._optimizer.found_inf = bad.float()
            self._step(**kwargs)
            del self._optimizer.found_inf
        else:
            self._bad = bool(bad)
            if self._bad:
                count_step(self._wrapper)
            else:
                self._step(**kwargs)
        self._restore_buffers()

    def chosen(self, old: Tensor, new: Tensor) -> Tensor:
        """Return ``old`` if the last step was bad, else ``new``."""
        if self._bad is None or self._bad is False:
            return new
        if self._bad is True:
            return old
        return torch.where(self._bad.to(old.device), old, new)

    def _look(self) -> Tensor:
        loss, gradients = self._loss, self._gradients()
        device = gradients[0].device if gradients else loss.device
        nothing = torch.zeros((), dtype=torch.bool, device=device)
        loss = nothing if loss is None else loss.to(device)
        gradient = ~torch.isfinite(get_total_norm(gradients)) if gradients else nothing
        if (scale := loss_scale(self._wrapper)) is not None:
            # Above 1 an overflow is how the scaler finds its scale; it skips that step by itself.
            gradient = gradient & (scale.to(device) < 1)
        state = ~_all_finite(self._state, device) if self._look_at_state else nothing
        findings = torch.stack([loss, gradient, state]).float() * (get_world_size() - get_rank())
        if get_world_size() > 1:
            dist.all_reduce(findings, dist.ReduceOp.MAX)
        return torch.cat([findings, loss.float()[None]])

    def _poison(self, bad: Tensor) -> None:
        """Make the scalers of all processes skip a step that is bad in any."""
        for gradient in self._gradients()[:1]:
            gradient.masked_fill_(bad, torch.inf)

    def _gradients(self) -> list[Tensor]:
        groups = self._optimizer.param_groups
        gradients = (local(x.grad) for group in groups for x in group["params"] if x.grad is not None)
        return [x for x in gradients if x.numel()]  # of a small tensor, not every process has a shard

    def _restore_buffers(self) -> None:
        for buffer, before in zip(self._buffers, self._before, strict=True):
            if self._bad is not False:
                buffer.copy_(self.chosen(before, buffer))
            before.copy_(buffer)


def guarded_steps(runner: Runner) -> list[GuardedStep]:
    """Guard every optimizer of a Runner and the averages of its ``EMAHook``."""
    kept = averages(runner)
    steps = [GuardedStep(x, unwrapped(runner), kept) for x in optim_wrappers(runner.optim_wrapper)]
    for average in kept:
        replace_averaging(average, _GuardedAveraging(average.avg_func, steps))
    return steps


def non_finite_names(runner: Runner) -> list[str]:
    """Name the weights and averages that hold NaN or infinity; this waits for the device."""
    named: Iterator[tuple[str, Tensor]] = iter(unwrapped(runner).named_parameters())
    found = [name for name, x in named if not bool(torch.isfinite(local(x)).all())]
    for average in averages(runner):
        named = average.module.named_parameters()
        found += [f"average of {name}" for name, x in named if not bool(torch.isfinite(local(x)).all())]
    return found


class _GuardedAveraging:
    """An averaging function that leaves the average as it is after a bad step."""

    def __init__(self, function: Any, steps: list[GuardedStep]) -> None:
        self.function = function
        self.steps = steps

    def __call__(self, average: Tensor, source: Tensor, count: Tensor) -> None:
        average, source = local(average), local(source)
        for step in self.steps:
            source = step.chosen(average, source)
        self.function(average, source, count)


def _all_finite(tensors: list[Tensor], device: torch.device) -> Tensor:
    # The largest magnitude, since a sum of squares may overflow though all is finite.
    by_device: dict[torch.device, list[Tensor]] = {}
    for tensor in map(local, tensors):
        if tensor.numel():
            by_device.setdefault(tensor.device, []).append(tensor.detach())
    norms = [get_total_norm(some, torch.inf).to(device) for some in by_device.values()]
    return torch.isfinite(torch.stack(norms)).all()
