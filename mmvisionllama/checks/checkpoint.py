"""Check that a checkpoint fits the model, before a run starts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner.checkpoint import load_state_dict
from torch import Tensor, nn

from mmvisionllama.checkpoint.class_rows import ClassFit, classes_of_checkpoint, fit_classes
from mmvisionllama.checkpoint.matching import (
    Match,
    Shape,
    blocks_of,
    compare,
    describe_blocks,
    hidden_prefix,
    shapes_of,
)
from mmvisionllama.checkpoint.reading import read_checkpoint, weights_of
from mmvisionllama.checkpoint.released import family_of
from mmvisionllama.checks.same_model import (
    accept_by,
    differences,
    differences_at_start,
    differences_of_part,
    is_accepted,
    require_accepted,
)
from mmvisionllama.checks.same_training import remark_on_other_data, require_same_training
from mmvisionllama.errors import CheckpointError

_OTHER = "Give a checkpoint of this architecture, converted to these names"


def check_exact(model: nn.Module, path: str, cfg: Config | None = None) -> list[str]:
    """Require that the checkpoint is one of ``model``, as resuming and testing do.

    It holds the weights of the model and no others, and comes from a model with the same settings where these
    leave no shape.

    Args:
        cfg: The config that the model is built from; None: names and shapes are compared alone.

    Returns: One line about the differences that the config accepts, none if there are none.
    Raises: CheckpointError: listing what differs, on both sides.
    """
    checkpoint = read_checkpoint(path, lazy=True)
    return require_exact(model, weights_of(checkpoint, path), checkpoint, path, cfg)


def require_exact(
    model: nn.Module,
    weights: dict[str, Tensor],
    checkpoint: dict[str, Any],
    path: str,
    cfg: Config | None = None,
) -> list[str]:
    """Require the same of ``weights`` that were taken from ``checkpoint``."""
    match = match_weights(model, weights)
    found = differences(checkpoint, path, cfg) if cfg is not None else []
    if match.exact:
        return require_accepted(found, cfg, path)
    fix = _conversion(weights) or (
        "Use the config it was trained with: a checkpoint of ours keeps it under ['meta']['cfg']"
    )
    told = "".join(f"\n  {x}" for x in found[:6])
    raise CheckpointError(f"{path} is a checkpoint of another model:\n{match.describe()}{told}\n  {fix}")


def classes_in(path: str) -> tuple[str, tuple[str, ...]] | None:
    """Return a checkpoint's name for messages, and the classes that it was trained for, if it tells them."""
    meta = read_checkpoint(path, lazy=True).get("meta")
    told = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    kept = {str(key).lower(): value for key, value in told.items()} if isinstance(told, Mapping) else {}
    classes = kept.get("classes")
    if not isinstance(classes, (list, tuple)) or not all(isinstance(x, str) for x in classes):
        return None
    return f"the checkpoint {path}", tuple(classes)


def check_resume(model: nn.Module, path: str, cfg: Config | None = None, processes: int = 1) -> list[str]:
    """Require that the checkpoint holds a whole training of ``model``; see ``check_exact``.

    Args:
        processes: Of the run, which must make the same step of the same optimizer.
    Raises: CheckpointError: if it holds weights alone, or those of another model or optimizer, listing both
        sides.
    """
    checkpoint = read_checkpoint(path, lazy=True)
    if cfg is not None and cfg.get("param_scheduler") and "param_schedulers" not in checkpoint:
        raise CheckpointError(
            f"{path} cannot be resumed: it holds no state of the schedules, so the learning rate would "
            "begin anew. Start from it by load_from"
        )
    lacking = [key for key in ("optimizer", "message_hub") if key not in checkpoint]
    if lacking:
        raise CheckpointError(
            f"{path} cannot be resumed: it holds weights, but no training (no {', no '.join(lacking)}). "
            "Start from it by load_from"
        )
    if cfg is not None and cfg.get("optim_wrapper"):
        require_same_training(checkpoint, path, cfg, processes)
    notes = remark_on_other_data(checkpoint, path, cfg) if cfg is not None else []
    return notes + check_exact(model, path, cfg)


def check_start(
    model: nn.Module, path: str, cfg: Config | None = None, classes: Sequence[str] | None = None
) -> list[str]:
    """Require that ``load_from`` fits.

    No weight differs in shape, most of the backbone gets weights and none of its blocks only some, and what
    leaves no shape is as it was, but for what fine-tuning adapts to (see ``same_model.FREE_AT_START``).
    Classifying layers may be of other classes (see ``class_rows.fit_classes``), and parts that
    ``accepted_differences`` names may be of another shape: they begin anew.

    Args:
        cfg: See ``check_exact``.
        classes: Of the training data, if they are known.

    Returns: Lines about weights that are new or left over, and accepted differences, none if it fits exactly.
    Raises: CheckpointError: listing both sides.
    """
    checkpoint = read_checkpoint(path, lazy=True)
    weights = weights_of(checkpoint, path)
    source = f"load_from={path}"
    fit = starting_weights(model, checkpoint, path, cfg, classes)
    match = match_weights(model, fit.weights)
    core = "backbone." if hasattr(model, "backbone") else ""
    given, lacking = (sum(x.startswith(core) for x in names) for names in (match.matched, match.missing))
    if match.differing or lacking >= given:
        what = "" if match.differing else f": it gives {given} of the backbone's {given + lacking} weights"
        fix = _conversion(weights) or _start_hint(model, checkpoint, path)
        listed = "\n".join([match.describe(), *_shares(match, core)])
        raise CheckpointError(f"{source} does not fit the model{what}:\n{listed}\n  {fix}")
    _require_whole_blocks(match, core, "model", source, cfg, _conversion(weights))
    notes = [] if cfg is None else require_accepted(differences_at_start(checkpoint, path, cfg), cfg, source)
    return fit.notes(source) + _note(source, match, core) + notes


def starting_weights(
    model: nn.Module,
    checkpoint: dict[str, Any],
    path: str | Path,
    cfg: Config | None = None,
    classes: Sequence[str] | None = None,
) -> ClassFit:
    """Return the weights that ``load_from`` gives to ``model``, rows of other classes in their places.

    Args: See ``check_start``; the model has its first values, which rows of new classes keep.
    """
    weights = weights_of(checkpoint, path)
    fit = fit_classes(weights, model.state_dict(), classes_of_checkpoint(checkpoint, path), classes)
    match = match_weights(model, fit.weights) if cfg is not None else None
    anew = [x for x, _, _ in match.differing if is_accepted(f"model.{x}", cfg)] if match is not None else []
    return fit.without(anew)


def check_pretrained(model: nn.Module, cfg: Config | None = None) -> list[str]:
    """Check the checkpoint of every module that asks for one by ``init_cfg=dict(type='Pretrained', ...)``.

    The weights of ``model`` may change: give it one that is not used otherwise.

    Args:
        cfg: See ``check_exact``.

    Returns: Lines as ``check_start`` gives them.
    Raises: CheckpointError: if a checkpoint gives nothing, weights of another shape or parts of blocks, or
        comes from a model with other settings, listing both sides.
    """
    notes = []
    for name, module in model.named_modules():
        for init_cfg in _pretrained_cfgs(module):
            notes += _check_module(name or "model", module, init_cfg, cfg)
    return notes


def match_weights(model: nn.Module, weights: dict[str, Tensor]) -> Match:
    """Compare ``weights`` with the model after the conversions that its modules make while they load."""
    with _shapes_on_arrival(model) as arrived:
        load_state_dict(model, dict(weights), strict=False, logger="silent")
    return compare(shapes_of(model.state_dict()), arrived)


def _check_module(name: str, module: nn.Module, init_cfg: dict[str, Any], cfg: Config | None) -> list[str]:
    path, prefix = init_cfg["checkpoint"], init_cfg.get("prefix")
    checkpoint = read_checkpoint(path, lazy=True)
    weights, source = {}, f"{name}.init_cfg={path}"
    if _loads_by_itself(module):
        match = _match_own_loading(module)
    else:
        weights = weights_of(checkpoint, path, prefix)
        match = match_weights(module, weights)
    if match.differing or not match.matched:
        raise CheckpointError(
            f"{name}.init_cfg: {path} does not fit {type(module).__name__}"
            f"{f' under prefix={prefix!r}' if prefix else ''}:\n{match.describe()}\n"
            f"  {_conversion(weights) or _prefix_hint(module, checkpoint, prefix)}"
        )
    _require_whole_blocks(
        match, "", "model" if name == "model" else f"model.{name}", source, cfg, _conversion(weights)
    )
    if cfg is None:
        return _note(source, match)
    found = differences_of_part(checkpoint, path, cfg, name, prefix or "")
    return _note(source, match) + require_accepted(found, cfg, source)


def _start_hint(model: nn.Module, checkpoint: dict[str, Any], path: str) -> str:
    """Say how to load the backbone alone, where the checkpoint has this backbone."""
    backbone = getattr(model, "backbone", None)
    if backbone is not None:
        for prefix in (None, hidden_prefix(backbone.state_dict(), _names_in(checkpoint))):
            match = match_weights(backbone, weights_of(checkpoint, path, prefix))
            if not match.differing and len(match.matched) > len(match.missing):
                given = "" if prefix is None else f',prefix="{prefix}"'
                return (
                    "Make the model that of the checkpoint, or load its backbone alone: --cfg-options "
                    "load_from=None "
                    f"model.backbone.init_cfg='dict(type=Pretrained,checkpoint=\"{path}\"{given})'"
                )
    return _OTHER


def _names_in(checkpoint: dict[str, Any]) -> list[str]:
    return [*checkpoint.get("state_dict", checkpoint)]


def _prefix_hint(module: nn.Module, checkpoint: dict[str, Any], given: str | None) -> str:
    names, there = set(module.state_dict()), _names_in(checkpoint)
    if given is not None and 2 * len(names.intersection(there)) > len(names):
        return "Its weights lie under no prefix: leave prefix out"
    hint = hidden_prefix(names, there)
    if hint in (None, given):
        return _OTHER
    return f"Its weights lie under {hint!r}: {'give' if given else 'add'} prefix={hint!r}"


def _require_whole_blocks(
    match: Match, core: str, at: str, source: str, cfg: Config | None, fix: str | None
) -> None:
    """Require that no block below ``core`` gets some of its weights and lacks others, unless accepted."""
    missing = tuple(x for x in match.missing if not is_accepted(f"{at}.{x}", cfg))
    partial = [x for x in blocks_of(replace(match, missing=missing), core) if x.is_partial]
    if not partial:
        return
    lacking = [f"{at}.{block.name}.{x}" for block in partial for x in block.lacking]
    new = {re.sub(r"\.\d+(?=\.)", ".*", x) for x in lacking}
    if len(new) > 4:
        depth = len(f"{at}.{core}".strip(".").split(".")) + 1
        new = {".".join(x.split(".")[:depth]) for x in lacking}
    listed = "\n".join([*_shares(match, core), match.describe()])
    raise CheckpointError(
        f"{source} gives only some weights of a block, so it is of another architecture:\n{listed}\n"
        f"  {fix or _OTHER}. {accept_by(sorted(new))}"
    )


def _shares(match: Match, core: str) -> list[str]:
    """Say what share of its weights each block got that did not get all."""
    return [f"  {line}" for line in describe_blocks(x for x in blocks_of(match, core) if x.lacking)]


def _conversion(weights: dict[str, Tensor]) -> str | None:
    return "Convert it: tools/convert_checkpoint.py takes released weights" if family_of(weights) else None


def _match_own_loading(module: nn.Module) -> Match:
    with _shapes_on_arrival(module) as arrived:
        try:
            module.init_weights()
        except RuntimeError:
            # torch raises for weights of another shape, which the comparison below reports better.
            if not compare(shapes_of(module.state_dict()), arrived).differing:
                raise
    return compare(shapes_of(module.state_dict()), arrived)


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
        arrived.update(shapes_of({k: v for k, v in state_dict.items() if k.startswith(prefix)}))

    handles = [module.register_load_state_dict_pre_hook(record) for module in model.modules()]
    try:
        yield arrived
    finally:
        for handle in handles:
            handle.remove()


def _note(source: str, match: Match, core: str = "") -> list[str]:
    if match.exact:
        return []
    lines = [*match.describe().split("\n"), *_shares(match, core)]
    return [f"{source} loads in part: " + "; ".join(lines)]
