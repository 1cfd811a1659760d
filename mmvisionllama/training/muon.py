"""Muon for the matrices of a network and AdamW for all else, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from mmvisionllama.arguments import NotNegative, PositiveNumber, Within, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.registry import OPTIMIZERS

_Momentum = Annotated[float, Within("[0, 1)")]


@OPTIMIZERS.register_module()
class MuonWithAdamW(Optimizer):
    """Train parameters of two dimensions by torch's Muon and the others by torch's AdamW.

    Each given group becomes one of matrices and one of the rest, so that rates, weight decay and schedules of
    a group hold for both. A group with ``muon=False`` is AdamW's alone, which Muon's authors advise for
    classifiers and embeddings: ``custom_keys={"head.fc.weight": dict(muon=False)}`` with mmengine's
    constructor. That of layer-wise decay has no such key. Muon takes one layer of queries, keys and values as
    one matrix.

    Args:
        params: Parameters, or groups ``dict(params=..., lr=..., weight_decay=...)``.
        lr: Rate of both.
        weight_decay: Share of the rate by which weights shrink in a step, of both.
        momentum: Of Muon.
        nesterov: Whether Muon looks a step ahead.
        ns_steps: Steps of Newton and Schulz that make Muon's update orthogonal, 1 to 99.
        adjust_lr_fn: ``match_rms_adamw``: updates of a matrix are as large as AdamW's, so that its rates hold
            (arXiv 2502.16982); ``original``: those of Muon's authors.
        betas: Of AdamW.
        eps: Of AdamW.

    Raises:
        ArgumentError: for values out of range, and for parameters that are none.
    """

    @checked
    def __init__(
        self,
        params: Any,
        *,
        lr: NotNegative = 1e-3,
        weight_decay: NotNegative = 0.1,
        momentum: _Momentum = 0.95,
        nesterov: bool = True,
        ns_steps: Annotated[int, Within("[1, 100)")] = 5,
        adjust_lr_fn: Literal["original", "match_rms_adamw"] = "match_rms_adamw",
        betas: tuple[_Momentum, _Momentum] = (0.9, 0.999),
        eps: PositiveNumber = 1e-8,
    ) -> None:
        self._steppers = _steppers()
        of_both = dict(lr=lr, weight_decay=weight_decay)
        of_muon = dict(momentum=momentum, nesterov=nesterov, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn)
        of_adamw = dict(betas=tuple(betas), eps=eps)
        muon, adamw = (self._steppers[by_muon].defaults for by_muon in (True, False))
        super().__init__(_groups(params), muon | adamw | of_both | of_muon | of_adamw)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group as one of matrices and one of the rest."""
        (given,) = _groups([param_group])
        for by_muon, stepper in self._steppers.items():
            chosen = [x for x in given["params"] if (given.get("muon", True) and x.ndim == 2) == by_muon]
            if chosen:
                # The one option that both have by the same name and not with the same value.
                own = dict(eps=stepper.defaults["eps"]) if by_muon else {}
                super().add_param_group({**own, **given, "params": chosen, "muon": by_muon})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._steppers = _steppers()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Let each optimizer train its groups; return what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for by_muon, stepper in self._steppers.items():
            stepper.param_groups = [x for x in self.param_groups if x["muon"] == by_muon]
            stepper.state = self.state
            stepper.step()
        return loss


def _steppers() -> dict[bool, Optimizer]:
    """Make both optimizers without parameters of their own, Muon under True."""
    return {True: Muon([torch.empty(1, 1)]), False: AdamW([torch.empty(1)])}


def _groups(params: Any) -> list[dict[str, Any]]:
    given = list(params) if isinstance(params, Iterable) else []
    groups = given if all(isinstance(x, dict) for x in given) else [dict(params=given)]
    found = []
    for group in groups:
        members = group.get("params", ())
        members = [members] if isinstance(members, Tensor) else list(members)
        if not all(isinstance(x, Tensor) for x in members):
            raise _wrong(members)
        found.append({**group, "params": members})
    if not any(group["params"] for group in found):
        raise _wrong(params)
    return found


def _wrong(given: Any) -> ArgumentError:
    return ArgumentError(
        f"MuonWithAdamW: params takes parameters, or groups dict(params=...) of them, got {given!r:.100}"
    )
