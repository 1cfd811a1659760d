"""Hold a config value against the annotation of an argument, of ours or of a host."""

from inspect import Parameter
from typing import Annotated, Any, Literal, Union

from torch import Tensor

from mmvisionllama.arguments import bounds_of, described, kind_of, members_of
from mmvisionllama.signatures import Argument

_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))


def wrong_type(value: Any, annotation: Any) -> str | None:
    """Return a sentence with what is taken and what was given, or None where the value may be right.

    Only what a config file or an option can write down is judged: numbers, texts, lists and dicts.
    """
    if admits(annotation, value):
        return None
    return f"takes {described(annotation)}, got {value!r}"


def type_of(argument: Argument) -> Any:
    """Return what a config may give an argument, as an annotation; ``Any`` where that cannot be told."""
    annotation, default = argument
    if annotation is Parameter.empty:
        return _like(default)
    if default is None:
        return Union[annotation, None]  # noqa: UP007 (annotations may be strings or objects)
    if default is not Parameter.empty and not admits(annotation, default):
        return Any  # the annotation is wrong
    return annotation


def _like(default: Any) -> Any:
    """Guess from a default, where nothing is annotated; one number often stands for a list of them."""
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        return float | list | bool | None
    if isinstance(default, (dict, list, tuple)) and default:
        return (dict if isinstance(default, dict) else float) | list | bool | None
    return Any


def admits(annotation: Any, value: Any) -> bool:
    """Return whether a value is of a type, or may be: what cannot be decided is admitted."""
    if not isinstance(value, _PLAIN):
        return True
    kind, members = kind_of(annotation), members_of(annotation)
    if kind is Annotated:
        return admits(members[0], value) and all(x.admits(members[0], value) for x in bounds_of(annotation))
    if kind is Literal:
        return value in members
    if kind is Union:
        # A tensor cannot be written in a config, so it says nothing about what may be.
        return any(admits(x, value) for x in members if x is not Tensor)
    if kind is list:
        # Also one of lists: what the hosts say of a list holds for what is in it.
        return isinstance(value, (list, tuple)) and all(
            not members or any(admits(x, item) for x in [*members, annotation]) for item in value
        )
    if kind is bool:
        return value in (None, 0, 1)
    if kind in (int, float):  # the hosts say int of ratios too
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is dict:  # and dict of what may be left out, or of a list of heads
        heads = isinstance(value, (list, tuple)) and value and all(isinstance(x, dict) for x in value)
        return bool(heads) or isinstance(value, (dict, type(None)))
    return isinstance(value, kind) if kind in _PLAIN else True
