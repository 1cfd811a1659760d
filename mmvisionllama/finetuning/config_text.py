"""Python text of settings, laid out as the shipped configs are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH = 110
_INDENT = "    "


@dataclass(frozen=True)
class Name:
    """A variable of the config file that a setting refers to, e.g. ``Name("_load")``."""

    name: str


@dataclass(frozen=True)
class With:
    """A dict that goes on from a variable: ``dict(**_data, ann_file="train.txt")``."""

    base: Name
    settings: Mapping[str, Any]


def assignment(name: str, value: Any) -> str:
    """Return ``name = value``, on several lines where one is too short."""
    return f"{name} = {_text(value, '', len(name) + 3)}"


def _text(value: Any, indent: str, used: int) -> str:
    """Write a value; ``used`` columns of its first line are taken, and one is needed after it."""
    flat = _flat(value)
    if len(indent) + used + len(flat) <= _WIDTH - 1 or not _can_break(value):
        return flat
    inner = indent + _INDENT
    opening, closing, items = _parts(value)
    lines = [f"{inner}{key}{_text(x, inner, len(key))}," for key, x in items]
    return "\n".join([opening, *lines, f"{indent}{closing}"])


def _can_break(value: Any) -> bool:
    return isinstance(value, (Mapping, With)) or (isinstance(value, (list, tuple)) and len(value) > 0)


def _parts(value: Any) -> tuple[str, str, list[tuple[str, Any]]]:
    """Return what opens and closes a value, and its parts with what stands before each."""
    if isinstance(value, With):
        return "dict(", ")", [("**", value.base), *_items(value.settings)]
    if isinstance(value, Mapping):
        return "dict(", ")", _items(value)
    brackets = "()" if isinstance(value, tuple) else "[]"
    return brackets[0], brackets[1], [("", x) for x in value]


def _items(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(f"{key}=", x) for key, x in settings.items()]


def _flat(value: Any) -> str:
    if isinstance(value, Name):
        return value.name
    if isinstance(value, str):
        return repr(value) if '"' in value and "'" not in value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, (Mapping, With)) or _is_sequence(value):
        opening, closing, items = _parts(value)
        comma = "," if isinstance(value, tuple) and len(items) == 1 else ""
        return f"{opening}{', '.join(f'{key}{_flat(x)}' for key, x in items)}{comma}{closing}"
    return repr(value)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
