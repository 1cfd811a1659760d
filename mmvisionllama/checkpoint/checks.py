"""Refuse, before a run starts, a checkpoint that does not fit the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner.checkpoint import load_state_dict
from torch import Tensor, nn

from mmvisionllama.checkpoint.matching import Match, Shape, compare, hidden_prefix
from mmvisionllama.checkpoint.reading import CheckpointError, read_checkpoint, weights_of
from mmvisionllama.checkpoint.released import recognised


def check_exact(model: nn.Module, path: str) -> None:
    """Require that the checkpoint holds the weights of ``model`` and no others, as resuming and testing do.

    Raises: CheckpointError: listing the weights of either side that the other lacks.
    """
    require_exact(model, weights_of(read_checkpoint(path, lazy=True), path), path)


def require_exact(model: nn.Module, weights: dict[str, Tensor], path: str) -> None:
    """Require the same of ``weights`` that were read from ``path``."""
    match = match_weights(model, weights)
    if not match.exact:
        fix = _conversion(weights) or (
            "Use the config it was trained with: a checkpoint of ours keeps it under ['meta']['cfg']"
        )
        raise CheckpointError(f"{path} is a checkpoint of another model:\n{match.describe()}\n  {fix}")


def check_resume(model: nn.Module, path: str) -> None:
    """Require that the checkpoint holds a whole training of ``model``.

    Raises: CheckpointError: if it holds weights alone, or those of another model, listing both sides.
    """
    lacking = [key for key in ("optimizer", "message_hub") if key not in read_checkpoint(path, lazy=True)]
    if lacking:
        raise CheckpointError(
            f"{path} cannot be resumed: it holds weights, but no training (no {', no '.join(lacking)}). "
            "Start from it by load_from"
        )
    check_exact(model, path)


def check_start(model: nn.Module, path: str) -> list[str]:
    """Require that ``load_from`` fits: no weight differs in shape, and most of the backbone gets weights.

    Returns: One line about the weights that are new or left over, none if the checkpoint fits exactly.
    Raises: CheckpointError: listing both sides.
    """
    weights = weights_of(read_checkpoint(path, lazy=True), path)
    match = match_weights(model, weights)
    core = "backbone." if hasattr(model, "backbone") else ""
    given, lacking = (sum(x.startswith(core) for x in names) for names in (match.matched, match.missing))
    if match.differing or lacking >= given:
        what = "" if match.differing else f": it gives {given} of the backbone's {given + lacking} weights"
        fix = _conversion(weights) or (
            "Make the model that of the checkpoint, or load its backbone alone with model.backbone.init_cfg="
            "dict(type='Pretrained', checkpoint=..., prefix='backbone.')"
            if match.differing
            else "Give a checkpoint of this backbone. One that holds a backbone alone, under names without "
            "'backbone.', is loaded by model.backbone.init_cfg=dict(type='Pretrained', checkpoint=...)"
        )
        raise CheckpointError(f"load_from={path} does not fit the model{what}:\n{match.describe()}\n  {fix}")
    return _note(f"load_from={path}", match)


def check_pretrained(model: nn.Module) -> list[str]:
    """Check the checkpoint of every module that asks for one by ``init_cfg=dict(type='Pretrained', ...)``.

    The weights of ``model`` may change: give it one that is not used otherwise.

    Returns: One line for each checkpoint that leaves weights of its module as they are.
    Raises: CheckpointError: if a checkpoint gives nothing or weights of another shape, listing both sides.
    """
    notes = []
    for name, module in model.named_modules():
        for init_cfg in _pretrained_cfgs(module):
            notes += _check_module(name or "model", module, init_cfg)
    return notes


def match_weights(model: nn.Module, weights: dict[str, Tensor]) -> Match:
    """Compare ``weights`` with the model after the conversions that its modules make while they load."""
    with _shapes_on_arrival(model) as arrived:
        load_state_dict(model, dict(weights), strict=False, logger="silent")
    return compare(_shapes(model.state_dict()), arrived)


def _check_module(name: str, module: nn.Module, init_cfg: dict[str, Any]) -> list[str]:
    path, prefix = init_cfg["checkpoint"], init_cfg.get("prefix") or ""
    checkpoint = read_checkpoint(path, lazy=True)
    weights = {}
    if _loads_by_itself(module):
        match = _match_own_loading(module)
    else:
        weights = weights_of(checkpoint, path)
        if prefix:
            prefix = prefix.removesuffix(".") + "."
            weights = {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
        match = match_weights(module, weights)
    if match.differing or not match.matched:
        hint = hidden_prefix(module.state_dict(), match.unexpected)
        fix = _conversion(weights) or (
            f"Its weights lie under {hint!r}: add prefix={hint!r}"
            if hint
            else "Give a checkpoint of this architecture, converted to these names"
        )
        raise CheckpointError(
            f"{name}.init_cfg: {path} does not fit {type(module).__name__}"
            f"{f' under prefix={prefix!r}' if prefix else ''}:\n{match.describe()}\n  {fix}"
        )
    return _note(f"{name}.init_cfg={path}", match)


def _conversion(weights: dict[str, Tensor]) -> str | None:
    return "Convert it: tools/convert_checkpoint.py takes released weights" if recognised(weights) else None


def _match_own_loading(module: nn.Module) -> Match:
    with _shapes_on_arrival(module) as arrived:
        try:
            module.init_weights()
        except RuntimeError:
            # torch raises for weights of another shape, which the comparison below reports better.
            if not compare(_shapes(module.state_dict()), arrived).differing:
                raise
    return compare(_shapes(module.state_dict()), arrived)


def _loads_by_itself(module: nn.Module) -> bool:
    # Swin, ViT, BEiT and PVT of the hosts convert the file on their own instead of leaving it to mmengine.
    return "CheckpointLoader" in type(module).init_weights.__code__.co_names


def _pretrained_cfgs(module: nn.Module) -> Iterator[dict[str, Any]]:
    init_cfg = getattr(module, "init_cfg", None) or []
    for cfg in [init_cfg] if isinstance(init_cfg, dict) else init_cfg:
        if cfg.get("type") == "Pretrained":
            yield cfg


@contextmanager
def _shapes_on_arrival(model: nn.Module) -> Iterator[dict[str, Shape]]:
    """Collect the shapes that reach every module once it and the modules around it have converted them."""
    arrived: dict[str, Shape] = {}

    def record(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
        for name in [name for name in arrived if name.startswith(prefix)]:
            del arrived[name]
        arrived.update(_shapes({k: v for k, v in state_dict.items() if k.startswith(prefix)}))

    handles = [module.register_load_state_dict_pre_hook(record) for module in model.modules()]
    try:
        yield arrived
    finally:
        for handle in handles:
            handle.remove()


def _shapes(weights: dict[str, Any]) -> dict[str, Shape]:
    return {name: tuple(value.shape) for name, value in weights.items() if isinstance(value, Tensor)}


def _note(source: str, match: Match) -> list[str]:
    return [] if match.exact else [f"{source} loads in part: " + "; ".join(match.describe().split("\n"))]
