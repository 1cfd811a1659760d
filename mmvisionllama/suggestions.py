"""Suggest the nearest known name; refuse names and values that are not allowed."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from mmvisionllama.errors import ArgumentError

_SHOWN = 12


def nearest_names(name: str, known: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return up to ``count`` known names that ``name`` resembles, the nearest first."""
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.lower(), candidate)
    return [folded[hit] for hit in difflib.get_close_matches(name.lower(), list(folded), count, cutoff)]


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that ``name`` most resembles, if any does."""
    return next(iter(nearest_names(name, known, 1, cutoff)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that asks for the nearest known name, with a blank before it, or nothing."""
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def refusal(owner: str, given: Iterable[str], allowed: Collection[str]) -> str | None:
    """Return a sentence about the first of the given names that ``owner`` does not take, if there is one."""
    for name in given:
        if name not in allowed:
            return (
                f"{owner} does not take {name!r}.{did_you_mean(name, allowed)} It takes {', '.join(allowed)}"
            )
    return None


def check_keys(name: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuse keys, or names, that the argument ``name`` has no use for."""
    if message := refusal(name, given, allowed):
        raise ArgumentError(message)


def choose(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """Return ``value`` if it is one of ``allowed``."""
    if value not in allowed:
        raise ArgumentError(f"{name} must be one of {list(allowed)}, got {value!r}")
    return value


def shortened(names: Collection[str]) -> str:
    """Return the names as one line, the surplus as a count."""
    names = list(names)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f", ... ({more} more)" if more > 0 else "")
