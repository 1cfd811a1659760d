"""Types and ranges of arguments: written as annotations, checked when a constructor is called."""

import functools
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from torch import Tensor

from mmvisionllama.errors import ArgumentError

# --- bounds of values, as metadata of ``Annotated`` -------------------------------------------------------


@dataclass(frozen=True)
class AtLeast:
    """The smallest number that is taken; ``floats``: 1e4 is whole too."""

    number: float
    floats: bool = False

    def admits(self, kind: Any, value: Any) -> bool:
        if not isinstance(value, (int, float)):
            return True
        return value >= self.number and (kind is float or self.floats or isinstance(value, int))

    def __str__(self) -> str:
        return f"of at least {self.number:g}"


@dataclass(frozen=True)
class Within:
    """An interval of numbers in the notation of mathematics: ``Within("[0, 1)")``."""

    interval: str

    def admits(self, kind: Any, value: Any) -> bool:
        if not isinstance(value, (int, float)):
            return True
        low, high = map(float, self.interval[1:-1].split(","))
        above = value >= low if self.interval[0] == "[" else value > low
        return above and (value <= high if self.interval[-1] == "]" else value < high)

    def __str__(self) -> str:
        return f"in {self.interval}"


class WithType:
    """A dict from which a part is built."""

    def admits(self, kind: Any, value: Any) -> bool:
        return not isinstance(value, Mapping) or "type" in value

    def __str__(self) -> str:
        return "with a type"


class NotEmpty:
    """A list that holds something."""

    def admits(self, kind: Any, value: Any) -> bool:
        return not isinstance(value, (list, tuple)) or len(value) > 0

    def __str__(self) -> str:
        return "and at least one"


Positive = Annotated[int, AtLeast(1)]
Count = Annotated[int, AtLeast(0)]
Length = Annotated[int, AtLeast(1, floats=True)]
NotNegative = Annotated[float, AtLeast(0)]
PositiveNumber = Annotated[float, Within("(0, inf)")]
Share = Annotated[float, Within("[0, 1]")]
Component = Annotated[dict, WithType()]
Sides = Positive | tuple[Positive, Positive]  # one side, or height and width


_CONTAINERS = ("builtins", "collections.abc")

# --- checks ------------------------------------------------------------------------------------------------


def checked(function: Callable) -> Callable:
    """Let a constructor, or function, hold what it is given against its annotations before anything else.

    What goes on through ``**kwargs`` is checked by who takes it. Defaults are not checked.

    Raises:
        ArgumentError: naming the argument, what it got and what is allowed.
    """
    parameters = inspect.signature(function).parameters.values()
    names = [x.name for x in parameters if x.kind is x.POSITIONAL_OR_KEYWORD]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        annotations = _annotations(function)
        owner = f"{type(args[0]).__name__}: " if names[:1] == ["self"] else ""
        for name, value in (*zip(names, args, strict=False), *kwargs.items()):
            if name in annotations:
                check(f"{owner}{name}", value, annotations[name])
        return function(*args, **kwargs)

    return call


def check(name: str, value: Any, annotation: Any) -> Any:
    """Return ``value`` if it is of a type, with its bounds.

    Raises:
        ArgumentError: if it is not.
    """
    if not takes(annotation, value):
        shown = textwrap.shorten(repr(value), 100, placeholder=" ...")
        raise ArgumentError(f"{name} takes {described(annotation)}, got {shown}")
    return value


@functools.cache
def _annotations(function: Callable) -> dict[str, Any]:
    return typing.get_type_hints(function, include_extras=True)


def takes(annotation: Any, value: Any) -> bool:
    """Return whether a value is of a type, to the letter: True is no number, 2.0 not whole, "ab" no list."""
    origin, members = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if annotation is None or annotation is type(None):
        return value is None
    if origin is Annotated:
        return takes(members[0], value) and all(x.admits(members[0], value) for x in bounds_of(annotation))
    if origin is Literal:
        return any(value is x or (type(value) is type(x) and value == x) for x in members)
    if origin in (Union, types.UnionType):
        return any(takes(x, value) for x in members)
    if annotation in (int, float):
        kind = Integral if annotation is int else Real
        return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    kind = origin or annotation
    if not isinstance(kind, type):  # a type variable
        return True
    if kind in (type, Callable):
        return callable(value)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(
            not members or (takes(members[0], key) and takes(members[1], x)) for key, x in value.items()
        )
    if kind.__module__ in _CONTAINERS and issubclass(kind, Iterable) and kind not in (str, bytes):
        return _takes_each(kind, members, value)
    return isinstance(value, kind)


def _takes_each(kind: type, members: tuple[Any, ...], value: Any) -> bool:
    """Hold a list or tuple, for which a config may have either, against the type of each item."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return False
    if not members or not isinstance(value, (list, tuple)):
        return True
    if kind is tuple and members[-1] is not Ellipsis:
        return len(value) == len(members) and all(map(takes, members, value))
    return all(takes(members[0], item) for item in value)


# --- words -------------------------------------------------------------------------------------------------

_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a dict",
    list: "a list",
    type(None): "None",
}


def described(annotation: Any) -> str:
    """Return what an annotation takes, for a message."""
    kind, members = kind_of(annotation), members_of(annotation)
    if kind is Annotated:
        return " ".join([described(members[0]), *map(str, bounds_of(annotation))])
    if kind is Literal:
        return " or ".join(map(repr, members))
    if kind is Union:
        return " or ".join(dict.fromkeys(described(x) for x in members if x is not Tensor))
    if get_origin(annotation) is tuple and Ellipsis not in get_args(annotation):
        return f"a list of {len(members)} items, each {' or '.join(dict.fromkeys(map(described, members)))}"
    if kind is list and members and not any(kind_of(x) is Any for x in members):
        return f"a list with {' or '.join(dict.fromkeys(map(described, members)))} as each item"
    return _WORDS.get(kind, "a component")


def kind_of(annotation: Any) -> Any:
    """Return a plain type that a config can write, Annotated, Literal or Union; Any for all else."""
    origin = get_origin(annotation) or annotation
    if origin is types.UnionType:
        return Union
    if origin is None:
        return type(None)
    if origin is Annotated or not isinstance(origin, type) or origin in _WORDS:
        return origin
    if issubclass(origin, Mapping):
        return dict
    if issubclass(origin, (str, Path)) or origin is PathLike:
        return str
    if origin.__module__ in _CONTAINERS and issubclass(origin, (Collection, Iterable)):
        return list
    return Any


def members_of(annotation: Any) -> list[Any]:
    """Return the types inside a type; of ``Annotated`` the one that it is about."""
    members = [x for x in get_args(annotation) if x is not Ellipsis]
    return members[:1] if get_origin(annotation) is Annotated else members


def bounds_of(annotation: Any) -> list[Any]:
    """Return what the metadata of ``Annotated`` asks of a value beside its type."""
    return [x for x in annotation.__metadata__ if isinstance(x, (AtLeast, Within, WithType, NotEmpty))]
