"""Facts about components from their configs: full options, short names, differences."""

import inspect
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

from mmvisionllama.registry import MODELS


def with_defaults(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's config with the defaults that it leaves out, and types without scope."""
    kind = MODELS.get(cfg["type"])
    if kind is None:
        return dict(cfg)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not parameter.empty
    }
    values = {**defaults, **cfg, "type": kind.__name__}
    return {
        key: with_defaults(x) if isinstance(x, Mapping) and "type" in x else x for key, x in values.items()
    }


def short_description(cfg: Mapping[str, Any], leave_out: Collection[str] = ()) -> str:
    """Return a component's type and the options that are not the default: ``ODESampler, method heun2``."""
    plain = with_defaults({"type": cfg["type"]})
    options = [
        f"{key} {value}"
        for key, value in with_defaults(cfg).items()
        if key not in leave_out and value != plain.get(key)
    ]
    return ", ".join([plain["type"], *options])


def differences(one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str]) -> list[str]:
    """List the keys in which two sets of facts differ: ``seed: 0 there, 1 here``.

    Args:
        names: What the two are called.
    """
    keys = [*one, *(key for key in other if key not in one)]
    if None not in (kinds := {one.get("type"), other.get("type")}) and len(kinds) > 1:
        keys = ["type"]  # options of different types cannot be compared
    differing = [key for key in keys if _plain(one.get(key)) != _plain(other.get(key))]
    return [f"{key}: {_short(one, key)} {names[0]}, {_short(other, key)} {names[1]}" for key in differing]


def _short(facts: Mapping[str, Any], key: str) -> str:
    return textwrap.shorten(repr(_plain(facts.get(key))), 100, placeholder=" ...")


def _plain(value: Any) -> Any:
    """Return what JSON would give back, and configs of mmengine as dicts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(x) for key, x in value.items()}
    return [_plain(x) for x in value] if isinstance(value, list | tuple) else value
