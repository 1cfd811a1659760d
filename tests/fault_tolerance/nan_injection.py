"""NaN and infinity, put into a training at any place."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from mmvisionllama.runner_parts import local, unwrapped

PLACES = ("input", "loss", "gradient")


@HOOKS.register_module()
class InjectNaN(Hook):
    """Put a value where it does not belong.

    Args:
        place: ``input``, ``loss``, ``gradient`` (after the processes have averaged theirs), ``weight`` (of
            the first layer), ``average`` (of the first weight), ``batch norm`` (its running mean).
        steps: Counted from 0; at each of them.
        rank: The process where it happens, None: all.
    """

    priority = "VERY_LOW"  # around what the guard has put around the optimizer

    def __init__(
        self, place: str, steps: Sequence[int], value: float = math.nan, rank: int | None = None
    ) -> None:
        self.place, self.steps, self.value, self.rank = place, tuple(steps), value, rank
        self._active = False

    def before_train(self, runner: Runner) -> None:
        model = unwrapped(runner)
        parse_losses, backward = model.parse_losses, runner.optim_wrapper.backward

        def parsed(losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            loss, logged = parse_losses(losses)
            if self._active and self.place == "loss":
                loss = logged["loss"] = loss * self.value
            return loss, logged

        def backward_with_nan(loss: Tensor, **kwargs: Any) -> None:
            backward(loss, **kwargs)
            if self._active and self.place == "gradient":
                next(x for p in model.parameters() if (x := local(p.grad)).numel()).view(-1)[0] = self.value

        model.parse_losses, runner.optim_wrapper.backward = parsed, backward_with_nan

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._active = runner.iter in self.steps and self.rank in (None, get_rank())
        if not self._active:
            return
        if self.place == "input":
            data_batch["inputs"].view(-1)[0] = self.value
        elif self.place == "weight":
            next(unwrapped(runner).parameters()).data.view(-1)[0] = self.value
        elif self.place == "batch norm":
            unwrapped(runner).norm.running_mean[0] = self.value
        elif self.place == "average":
            (hook,) = (x for x in runner.hooks if isinstance(x, EMAHook))
            next(hook.ema_model.module.parameters()).data.view(-1)[0] = self.value


@HOOKS.register_module()
class RecordStates(Hook):
    """Note what every step begins with, and after the last one."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.states.append(self._state(runner))

    def after_train(self, runner: Runner) -> None:
        self.states.append(self._state(runner))

    @staticmethod
    def _state(runner: Runner) -> dict[str, Any]:
        averages = [x.ema_model.module.state_dict() for x in runner.hooks if isinstance(x, EMAHook)]
        optimizer = runner.optim_wrapper.optimizer.state_dict()["state"]
        return copy.deepcopy(
            {"model": unwrapped(runner).state_dict(), "optimizer": optimizer, "averages": averages}
        ) | {"rate": runner.optim_wrapper.get_lr()["lr"][0]}


def flat(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors in a nest of dicts and lists, by path."""
    if isinstance(value, Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path: x for key, item in items for path, x in flat(item, f"{name}.{key}").items()}


def is_finite(state: dict[str, Any]) -> bool:
    return all(bool(torch.isfinite(x).all()) for x in flat(state).values() if x.is_floating_point())
