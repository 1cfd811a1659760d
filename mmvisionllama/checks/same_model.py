"""Compare the model config of a checkpoint with that of a run: what leaves no shape in the weights."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from inspect import Parameter
from typing import Any

from mmengine.config import Config

from mmvisionllama.checkpoint.kept_config import kept_model, kept_settings
from mmvisionllama.config.component_types import UnknownType, resolve, resolve_untrusted
from mmvisionllama.errors import CheckpointError
from mmvisionllama.generation.network import DiT, resolve_block
from mmvisionllama.host_internals import BATCH_NORM
from mmvisionllama.models.attention import RotaryAttention
from mmvisionllama.models.backbone import RotaryBackbone
from mmvisionllama.registry import SCOPE
from mmvisionllama.signatures import accepted_arguments


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_Find = Callable[[Any, str, Sequence[str]], Callable]  # as ``resolve``


def _defaults(kind: Callable) -> dict[str, Any]:
    """Return the arguments of a constructor that may be left out."""
    arguments = accepted_arguments(kind).by_name.items()
    return {name: x.default for name, x in arguments if x.default is not Parameter.empty}


# Arguments that trained weights compute the same with: of training alone, of what is done with outputs, and
# several ways to say one width, which the weights tell.
NO_MATTER = _words(
    """
    init_cfg pretrained convert_weights with_cp frozen_stages norm_eval requires_grad momentum
    drop_path_rate drop_path_schedule drop_path_branches drop_rate attn_drop_rate attn_drop proj_drop
    dropout_ratio dropout_layer dropout label_dropout augment
    train_cfg weighting loss loss_decode loss_cls loss_bbox loss_mask loss_iou class_weight ignore_index
    reg_decoded_bbox label_smooth_val cal_acc topk
    test_cfg sampler guidance seed KLAutoencoder.path
    SwiGLU.hidden_dims SwiGLU.expand SwiGLU.multiple_of SwiGLU.bias GELUFFN.hidden_dims GELUFFN.expand
    """
)
# What else may change when a training starts from weights; what of it has weights, these tell.
FREE_AT_START = _words(
    """
    img_size pretrain_img_size pad_small_map anchor scale_side mask_ratio layer_scale layer_scale_init_value
    out_type out_indices out_norm final_norm norm_after_stage with_cls_token output_cls_token
    """
)
_RESCALED = {"RoPE2D", "AS2DRoPE"}  # the same positions but for their scale, which a start adapts to
_NETWORKS = ("backbone", "network")
_PARTS = (*_NETWORKS, "objective", "autoencoder")  # what a start takes over, as far as there
# None says nothing: no preprocessor is kept, an image size has no effect, the autoencoder has its own scale.
_UNTOLD = {"data_preprocessor", "img_size", "KLAutoencoder.scale"}
# Options that are dicts without a type, with what their readers take where one is left out.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "window": dict(size=7, global_blocks=(), mask_padding=True, global_attn=None),
    "attn": _defaults(RotaryAttention),
    "registers": dict(rope=None),
}


@dataclass(frozen=True)
class Difference:
    """A setting with its key path in the config, and the values in the checkpoint and in the config."""

    path: str
    kept: Any
    given: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.kept)} in the checkpoint, {_shown(self.given)} in the config"


@dataclass(frozen=True)
class _Component:
    """A config with a type: the class, and every argument that matters, defaults filled in."""

    kind: Callable | None  # None: nothing here provides it
    name: str
    arguments: dict[str, Any]
    written: Any


def differences(checkpoint: Mapping[str, Any], path: Any, cfg: Config) -> list[Difference]:
    """Return in what the model of a checkpoint differs from that of ``cfg``; nothing if it does not tell."""
    kept, given = _both(checkpoint, path, cfg)
    return [] if kept is None else list(_compared("model", kept, given, frozenset()))


def differences_at_start(checkpoint: Mapping[str, Any], path: Any, cfg: Config) -> list[Difference]:
    """Return those that a training does not adapt to when it starts from the weights of the checkpoint."""
    kept, given = _both(checkpoint, path, cfg)
    if kept is None:
        return []
    parts = (part for part in _PARTS if part in kept.arguments and part in given.arguments)
    found = (_compared(f"model.{x}", kept.arguments[x], given.arguments[x], FREE_AT_START) for x in parts)
    return [difference for some in found for difference in some]


def differences_of_part(
    checkpoint: Mapping[str, Any], path: Any, cfg: Config, name: str, prefix: str
) -> list[Difference]:
    """Return those of the part ``name`` of the model, whose weights the checkpoint has under ``prefix``."""
    kept, given = _both(checkpoint, path, cfg)
    below = [x for x in prefix.split(".") if x not in ("", "module")]
    if not below and name in _NETWORKS and name in getattr(kept, "arguments", {}):
        below = [name]  # a host's backbone finds its weights in those of a model by itself
    for step in below:
        kept = kept.arguments.get(step) if isinstance(kept, _Component) else None
    for step in name.split(".") if name != "model" else ():
        given = given.arguments.get(step) if isinstance(given, _Component) else None
    if not isinstance(kept, _Component) or not isinstance(given, _Component):
        return []
    return list(_compared("model" if name == "model" else f"model.{name}", kept, given, FREE_AT_START))


def is_accepted(path: str, cfg: Config | None) -> bool:
    """Whether ``accepted_differences`` of a config names this setting, or one around it; * is any text."""
    keys = path.split(".")
    around = [".".join(keys[: i + 1]) for i in range(len(keys))]
    patterns = (cfg.get("accepted_differences") or ()) if cfg is not None else ()
    return any(fnmatchcase(x, pattern) for pattern in patterns for x in around)


def require_accepted(found: Iterable[Difference], cfg: Config, source: str) -> list[str]:
    """Require that the config accepts each of these differences; return a line about those it does.

    Raises: CheckpointError: with both values, and the option that accepts them.
    """
    found = list(found)
    if refused := [x for x in found if not is_accepted(x.path, cfg)]:
        listed = "\n".join(f"    {x}" for x in refused)
        raise CheckpointError(
            f"{source} is a checkpoint of another model. Its weights fit, but mean something else:\n"
            f"{listed}\n  Use the config it was trained with, or set these as they were. {accept_by(refused)}"
        )
    return [f"{source}, accepted: {'; '.join(map(str, found))}"] if found else []


def accept_by(refused: Sequence[Difference | str]) -> str:
    """Say what to paste to go on with these differences, or key paths, all the same."""
    paths = ",".join(dict.fromkeys(x if isinstance(x, str) else x.path for x in refused))
    return f"To go on all the same: --cfg-options 'accepted_differences=[{paths}]'"


def _both(checkpoint: Mapping[str, Any], path: Any, cfg: Config) -> tuple[Any, Any]:
    """Return the model of the checkpoint, None if it does not tell, and that of the config."""
    scope = cfg.get("default_scope") or "mmengine"
    given = _whole(cfg.model, cfg.get("data_preprocessor"), scope)
    kept = kept_model(checkpoint, path)
    if kept is None or "type" not in kept:
        return None, given
    beside = kept_settings(checkpoint, "default_scope", "data_preprocessor")
    scope = beside.get("default_scope") or scope
    try:
        return _whole(kept, beside.get("data_preprocessor"), scope, resolve_untrusted), given
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: the model config that it keeps is damaged: {type(error).__name__} {error}"
        ) from error


def _whole(model: Mapping[str, Any], preprocessor: Any, scope: str, find: _Find = resolve) -> Any:
    # Classification keeps the preprocessor beside the model; the Runner merges it likewise.
    return _filled({"data_preprocessor": preprocessor, **model}, (scope,), find)


def _filled(value: Any, scopes: tuple[str, ...], find: _Find) -> Any:
    if isinstance(value, list | tuple):
        return [_filled(x, scopes, find) for x in value]
    if not isinstance(value, Mapping):
        return value if value is None or isinstance(value, bool | int | float | str) else str(value)
    if "type" not in value:
        return {str(key): _filled(x, scopes, find) for key, x in value.items() if key not in NO_MATTER}
    scopes = (value["_scope_"], *scopes) if "_scope_" in value else scopes
    try:
        kind = find(value["type"], "model", scopes)
    except UnknownType:
        kind, name, defaults = None, str(value["type"]).rpartition(".")[2], {}
    else:
        name, defaults = _name(kind), _defaults(kind)
        if kind.__module__.startswith(f"{SCOPE}."):
            scopes = tuple(dict.fromkeys((SCOPE, *scopes)))
    arguments = {**defaults, **{k: x for k, x in value.items() if k not in ("type", "_scope_")}}
    if arguments.get("data_preprocessor") is not None:
        arguments["data_preprocessor"] = _normalisation(arguments["data_preprocessor"])
    if "arch" in arguments:
        arguments["arch"] = _sizes(kind, arguments["arch"])
    if isinstance(kind, type) and issubclass(kind, RotaryBackbone):
        arguments |= {key: _options(key, arguments[key]) for key in _OPTIONS if key in arguments}
    if kind is DiT:
        arguments["block"] = resolve_block(arguments["block"])
    if not _is_anchored(arguments):
        arguments.pop("img_size", None)  # at most a table of positions, which is resized
    matter = {
        str(key): _filled(x, scopes, find)
        for key, x in arguments.items()
        if key not in NO_MATTER and f"{name}.{key}" not in NO_MATTER
    }
    return _Component(kind, name, matter, {k: value[k] for k in value if k != "_scope_"})


def _name(kind: Callable) -> str:
    if isinstance(kind, type) and issubclass(kind, BATCH_NORM):
        return "BatchNorm"  # all alike in evaluation
    return getattr(kind, "__name__", str(kind))


def _sizes(kind: Any, arch: Any) -> Any:
    sizes = arch if isinstance(arch, Mapping) else getattr(kind, "arch_zoo", {}).get(str(arch).lower())
    return dict(sizes) if sizes is not None else arch


def _options(key: str, value: Any) -> Any:
    if value is None and key in ("window", "registers"):
        return None
    return {**_OPTIONS[key], **(value or {})}


def _is_anchored(arguments: Mapping[str, Any]) -> bool:
    """Whether positions are scaled to the grid of the training size."""
    rope = arguments.get("rope") or {}
    return str(rope.get("type")).endswith("AS2DRoPE") and rope.get("anchor") is None


def _normalisation(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a preprocessor does to the pixels, in the words of all hosts."""
    turns = any(value.get(key) for key in ("to_rgb", "bgr_to_rgb", "rgb_to_bgr"))
    return dict(mean=value.get("mean"), std=value.get("std"), swaps_red_and_blue=turns)


def _compared(path: str, kept: Any, given: Any, free: frozenset[str]) -> Iterator[Difference]:
    if isinstance(kept, _Component) and isinstance(given, _Component):
        yield from _compared_components(path, kept, given, free)
    elif isinstance(kept, Mapping) and isinstance(given, Mapping):
        for key in dict.fromkeys((*kept, *given)):
            yield from _compared(f"{path}.{key}", kept.get(key), given.get(key), free)
    elif isinstance(kept, list) and isinstance(given, list) and len(kept) == len(given) and _nested(kept):
        for index, pair in enumerate(zip(kept, given, strict=True)):
            yield from _compared(f"{path}.{index}", *pair, free)
    elif not _same(kept, given):
        yield Difference(path, kept, given)


def _compared_components(
    path: str, kept: _Component, given: _Component, free: frozenset[str]
) -> Iterator[Difference]:
    theirs, ours = kept.arguments, given.arguments
    keys = dict.fromkeys((*theirs, *ours))
    if kept.kind is None or kept.kind is not given.kind:
        # A start may go from a masked encoder to a plain one, or to another host's: the weights tell.
        may_differ = path.removeprefix("model.") in _NETWORKS or {kept.name, given.name} == _RESCALED
        if kept.name != given.name and not (free and may_differ):
            yield Difference(f"{path}.type", kept.name, given.name)
            return
        theirs, ours = _flat(theirs), _flat(ours)
        keys = [key for key in theirs if key in ours]
    untold = {*_UNTOLD, "window"} if free else _UNTOLD  # a backbone may get windows, or lose them
    for key in keys:
        pair = theirs.get(key), ours.get(key)
        if key not in free and not (None in pair and untold & {key, f"{given.name}.{key}"}):
            yield from _compared(f"{path}.{key}", *pair, free)


def _flat(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with the sizes beside them that some hosts put into ``arch``."""
    sizes = arguments.get("arch")
    flat = {key: x for key, x in arguments.items() if key != "arch"}
    return {**flat, **sizes} if isinstance(sizes, Mapping) else flat


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, or a number stands for a list of it."""
    if isinstance(one, list) != isinstance(other, list):
        several, single = (one, other) if isinstance(one, list) else (other, one)
        return single is not None and bool(several) and all(x == single for x in several)
    return one == other


def _nested(values: list[Any]) -> bool:
    return any(isinstance(x, _Component | Mapping | list) for x in values)


def _shown(value: Any) -> str:
    return textwrap.shorten(repr(_written(value)), 100, placeholder=" ...")


def _written(value: Any) -> Any:
    if isinstance(value, _Component):
        return value.written
    if isinstance(value, Mapping):
        return {key: _written(x) for key, x in value.items()}
    return [_written(x) for x in value] if isinstance(value, list) else value
