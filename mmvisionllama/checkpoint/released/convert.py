"""Convert a released checkpoint: find, rename and check its weights, and make the config of the model."""

import copy
import re
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmvisionllama.checkpoint.matching import compare, shapes_of
from mmvisionllama.checkpoint.released.families import FAMILIES, backbone_config
from mmvisionllama.checkpoint.released.head_channels import reordered
from mmvisionllama.checkpoint.released.parts import (
    GENERATOR_PARTS,
    GENERATORS,
    PARTS,
    assemble,
    part_config,
)
from mmvisionllama.checkpoint.released.shapes import PLAIN_ARCHS, Shapes
from mmvisionllama.errors import CheckpointError
from mmvisionllama.models.backbone import resolve_arch
from mmvisionllama.registry import MODELS
from mmvisionllama.signatures import accepted_arguments
from mmvisionllama.suggestions import did_you_mean, refusal, shortened

Weights = dict[str, Tensor]

# Keys of the weights in a checkpoint, the first found counts: DiT and SiT evaluate their moving average.
_CONTAINERS = ("state_dict", "ema", "model", "model_ema")
_WRAPPERS = ("module.", "_orig_mod.")  # of DistributedDataParallel, of torch.compile
# Layers that the release keeps as one and a model of ours as several.
_FUSED = {"qkv": ("q", "kv"), "w12": ("gate", "up")}


@dataclass(frozen=True)
class Converted:
    """A released checkpoint as a model of ours.

    Attributes:
        model: A config that ``mmvisionllama.registry.MODELS.build`` takes: a backbone, or a host's model
            around it.
        state_dict: The weights of that model, all of them and no others.
        report: What was left out, by its name in the checkpoint, and why.
        family: A name of ``FAMILIES``.
    """

    model: dict[str, Any]
    state_dict: Weights = field(repr=False)
    report: dict[str, str]
    family: str


def convert_released(
    checkpoint: Mapping[str, Any],
    family: str | None = None,
    *,
    accept_license: str | None = None,
    **known: Any,
) -> Converted:
    """Convert weights of the released code; sizes are read off names and shapes.

    Args:
        checkpoint: A state dict, also on the meta device, or what a training saved around it.
        family: A name of ``FAMILIES``; None: found by the names.
        accept_license: The name of a licence that weights of some families need; the error has its terms.
        known: What weights do not tell, under the names that the model has for it: arguments of the backbone
            (``rope=dict(type="AS2DRoPE")``, ``window=...``), ``num_heads``, or options of a part, such as
            ``neck=dict(decoder_num_heads=8)``, ``head=None`` to leave it out, and for parts that are not
            read, such as ``decode_head``, their whole config.

    Raises:
        CheckpointError: for weights of another project, or any that are missing, surplus or of an unexpected
            shape, listing both sides; for an unknown family or argument, or a licence that is not accepted.
    """
    return convert(checkpoint, family, known, accept_license=accept_license)


def convert(
    checkpoint: Mapping[str, Any],
    family: str | None,
    known: dict[str, Any],
    part: str | None = None,
    *,
    accept_license: str | None = None,
) -> Converted:
    """Convert as :func:`convert_released` does, the weights below ``part`` (see :func:`find_weights`)."""
    weights, report = find_weights(checkpoint, part)
    parts = _split(weights)
    named, hints = _options_of_training(checkpoint)
    family = family or named or family_of(weights)
    known = hints | known
    _check_arguments(family, known, {*parts, "head"} if family == "mae" else parts)
    _require_names(family, weights)
    _require_licence(family, accept_license)
    backbone, unused = _rename(family, parts["backbone"])
    report |= {key if key in weights else f"backbone.{key}": reason for key, reason in unused.items()}
    cfgs = {}
    for name in [name for name in parts if name != "backbone"]:
        if name in known and known[name] is None:
            report |= {f"{name}.{key}": "left out as asked for" for key in parts.pop(name)}
        else:
            parts[name], cfgs[name] = part_config(name, parts[name], known.get(name, {}))
    shapes = Shapes(shapes_of(parts["backbone"] | backbone))
    own = {key: value for key, value in known.items() if key not in (*PARTS, *GENERATOR_PARTS)}
    model, inner = assemble(family, backbone_config(family, shapes, own), cfgs, shapes, known)
    if channels := FAMILIES[family].channels:
        heads = resolve_arch(model.get("backbone", model)["arch"], PLAIN_ARCHS)["num_heads"]
        backbone = reordered(backbone, channels, heads)
    renamed = {f"{inner}{key}": x for key, x in backbone.items()}
    renamed |= {f"{name}.{key}": x for name in cfgs for key, x in parts[name].items()}
    model = copy.deepcopy(model)  # parts of it are constants
    return Converted(model, _fit_to_model(model, renamed, family), report, family)


def find_weights(checkpoint: Mapping[str, Any], part: str | None = None) -> tuple[Weights, dict[str, str]]:
    """Find the weights in what a training saved, by their names without wrappers.

    Args:
        part: The key below which they lie, e.g. ``ema``; None: the first of the usual ones, else the top.

    Returns: The weights in float32 where they have fewer bits, and what lies beside them, with a reason.
    Raises: CheckpointError: if there are none.
    """
    if part is not None and not isinstance(checkpoint.get(part), Mapping):
        raise CheckpointError(f"the checkpoint has no part {part!r}; it has {_listed(checkpoint)}")
    places = [key for key in _CONTAINERS if isinstance(checkpoint.get(key), Mapping) and checkpoint[key]]
    if place := part or next(iter(places), None):
        weights, report = find_weights(checkpoint[place])
        beside = {key: f"beside the weights, which {place!r} holds" for key in checkpoint if key != place}
        return weights, beside | report
    weights = {str(key): x for key, x in checkpoint.items() if isinstance(x, Tensor)}
    if not weights:
        raise CheckpointError(f"there are no weights in the checkpoint; it has {_listed(checkpoint)}")
    while prefix := next((x for x in _WRAPPERS if all(key.startswith(x) for key in weights)), ""):
        weights = {key.removeprefix(prefix): x for key, x in weights.items()}
    report = {str(key): "no weight" for key, x in checkpoint.items() if not isinstance(x, Tensor)}
    return {key: _to_float32(x) for key, x in weights.items()}, report


def _options_of_training(checkpoint: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Read what weights do not tell off the options that trainings of DiT, SiT and DeiT save with them."""
    args = checkpoint.get("args")
    name = str(getattr(args, "model", "")) if isinstance(args, Namespace) else ""
    family = name[:3].lower() if name.startswith(("DiT", "SiT")) else None
    return family, dict(rope=dict(type="AS2DRoPE")) if "_as_" in name else {}


def _listed(checkpoint: Mapping[str, Any]) -> str:
    return shortened([str(key) for key in checkpoint]) or "nothing"


def _to_float32(x: Tensor) -> Tensor:
    return x.float() if x.is_floating_point() and x.element_size() < 4 else x


def _split(weights: Weights) -> dict[str, Weights]:
    """Group the weights by the part of the model that they belong to; what names none is the backbone's."""
    parts: dict[str, Weights] = {"backbone": {}}
    for name, x in weights.items():
        part, _, rest = name.partition(".")
        if part not in (*PARTS, "backbone"):
            part, rest = "backbone", name
        parts.setdefault(part, {})[rest] = x
    return parts


def family_of(weights: Mapping[str, Any]) -> str | None:
    """Return the family whose names these weights have, if one has."""
    names = _names(weights)
    found = (name for name, family in FAMILIES.items() if not family.asked and family.fits(names))
    return next(found, None)


def _names(weights: Mapping[str, Any]) -> set[str]:
    """Give the names as families tell them: those of the backbone without ``backbone.``."""
    return {key.removeprefix("backbone.") for key in weights}


def _require_names(family: str | None, weights: Weights) -> None:
    families = [family] if family else list(FAMILIES)
    if family and FAMILIES[family].has_needed(_names(weights)):
        return
    asked = [name for name, x in FAMILIES.items() if family is None and x.asked and x.fits(_names(weights))]
    if asked:
        raise CheckpointError(
            f"these weights have the names of {' and '.join(asked)}, but names do not tell: if that is what "
            f"they are, give --family {asked[0]} (in Python, family={asked[0]!r}). {FAMILIES[asked[0]].about}"
        )
    wanted = "\n".join(f"  {name}: {', '.join(FAMILIES[name].has)}" for name in families)
    raise CheckpointError(
        f"these are no released weights of {family or 'VisionLLaMA'!r}. The checkpoint has\n"
        f"  {_listed(weights)}\nbut expected are\n{wanted}"
    )


def _require_licence(family: str, accepted: str | None) -> None:
    licence = FAMILIES[family].licence
    if licence is not None and accepted != licence.name:
        raise CheckpointError(
            f"{licence.terms}\nIf you accept it, convert with --accept-license {licence.name} "
            f"(in Python, accept_license={licence.name!r}); got {accepted!r}"
        )


def _check_arguments(family: str | None, known: Mapping[str, Any], parts: Collection[str]) -> None:
    if family is None:
        return
    if family not in FAMILIES:
        raise CheckpointError(
            f"unknown family {family!r}.{did_you_mean(family, FAMILIES)} Allowed: {', '.join(FAMILIES)}"
        )
    backbone = accepted_arguments(MODELS.get(FAMILIES[family].type)).names - {"arch", "init_cfg"}
    around = GENERATOR_PARTS if family in GENERATORS else PARTS
    allowed = sorted({*backbone, "num_heads", *around})
    if message := refusal(f"the conversion of {family!r}", known, allowed):
        raise CheckpointError(message)
    for name in (name for name in around if known.get(name) is not None):
        if not isinstance(known[name], Mapping):
            raise CheckpointError(f"{name} must be options of a part, or None, got {known[name]!r}")
        if name in PARTS and name not in parts:
            raise CheckpointError(f"{name} was given, but the checkpoint has no weights of it")


def _rename(family: str, weights: Weights) -> tuple[Weights, dict[str, str]]:
    """Return the backbone's weights by our names, and the unused ones with the reason."""
    renamed, unused = {}, {}
    for name, x in weights.items():
        left_out = FAMILIES[family].unused.items()
        if reason := next((reason for pattern, reason in left_out if re.fullmatch(pattern, name)), None):
            unused[name] = reason
            continue
        for pattern, ours in FAMILIES[family].renames:
            name = re.sub(pattern, ours, name)
        renamed[name] = x
    return FAMILIES[family].prepare(renamed), unused


def _fit_to_model(model: dict[str, Any], weights: Weights, family: str) -> Weights:
    """Return the weights as the built model has them, in its order; raise if they are not the same."""
    # A host's defaults, such as the loss of a head, have types without a scope.
    scope = model["type"].partition(".")[0]
    try:
        with torch.device("meta"):
            expected = MODELS.build({**copy.deepcopy(model), "_scope_": scope}).state_dict()
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"the {family!r} model cannot be built: {error}") from error
    weights = dict(_split_fused(weights, expected))
    match = compare(shapes_of(expected), shapes_of(weights))
    if not match.exact:
        raise CheckpointError(
            f"the weights are not those of the {family!r} model that they seem to be:\n{match.describe()}\n"
            "  Give what weights do not tell (num_heads, window, ...), another family, or PART=None for a "
            "head to leave out"
        )
    return {name: weights[name] for name in expected if name in weights}


def _split_fused(weights: Weights, expected: Weights) -> Iterator[tuple[str, Tensor]]:
    """Divide fused layers into those that the model has, and flatten a convolution that is a linear layer."""
    for name, x in weights.items():
        stem, _, leaf = name.rpartition(".")
        stem, _, layer = stem.rpartition(".")
        parts = [f"{stem}.{part}.{leaf}" for part in _FUSED.get(layer, ())]
        rows = [expected[part].shape[0] for part in parts if part in expected]
        if name not in expected and len(rows) == 2 and x.ndim and sum(rows) == x.shape[0]:
            yield from zip(parts, x.split(rows), strict=True)
        elif name in expected and x.ndim == 4 and expected[name].ndim == 2:
            yield name, x.flatten(1)
        else:
            yield name, x
