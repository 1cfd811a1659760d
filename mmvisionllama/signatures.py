"""Keyword arguments that a class or function accepts, seen through forwarded ``**kwargs``."""

import ast
import functools
import inspect
import textwrap
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Argument(NamedTuple):
    """An argument's type annotation and default; ``inspect.Parameter.empty`` stands for none."""

    annotation: Any = inspect.Parameter.empty
    default: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Arguments:
    """What a callable accepts, by name; ``open`` when ``**kwargs`` goes where no signature tells."""

    by_name: Mapping[str, Argument]
    open: bool = False

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.by_name)


@dataclass
class _KwargsUse:
    """What a constructor does with its ``**kwargs``."""

    to_parent: bool = False
    elsewhere: bool = False
    after: str | None = None  # super(<this class>, self): the search goes on behind it
    read: set[str] = field(default_factory=set)
    fixed: set[str] = field(default_factory=set)


@functools.cache
def accepted_arguments(target: Callable) -> Arguments:
    """Return the keyword arguments that ``target`` accepts, through its parents while it forwards.

    Where ``open``, those of all parents are named too, since some of them may be accepted.
    """
    if isinstance(target, functools.partial):
        return accepted_arguments(target.func)
    if not inspect.isclass(target):
        own, kwargs_name = _own_arguments(target)
        return Arguments(own, open=bool(kwargs_name))
    found: dict[str, Argument] = {}
    fixed: set[str] = set()
    is_open = target.__init__ is object.__init__  # it has a __new__ or takes nothing
    behind: str | None = None
    for cls in inspect.getmro(target)[:-1]:
        if behind is not None or "__init__" not in vars(cls):
            behind = None if cls.__name__ == behind else behind
            continue
        own, kwargs_name = _own_arguments(cls.__init__)
        found = {name: x for name, x in own.items() if name != "self" and name not in fixed} | found
        if not kwargs_name:
            break
        use = _use_of_kwargs(cls.__init__, kwargs_name)
        found = dict.fromkeys(use.read, Argument()) | found
        fixed |= use.fixed
        is_open |= use.elsewhere
        if not use.to_parent and not use.elsewhere:  # swallowed: whatever is given there has no effect
            break
        behind = use.after if use.after != cls.__name__ else None
    return Arguments(found, is_open)


def _own_arguments(function: Callable) -> tuple[dict[str, Argument], str]:
    """Return the arguments of one function and the name of its ``**kwargs``, if it has any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a compiled constructor without a text signature
        return {}, "kwargs"
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # an annotation may hold names that only type checkers import: then none is known
        hints = {}
    named = {
        p.name: Argument(hints.get(p.name, p.empty), p.default)
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    return named, next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), "")


def _use_of_kwargs(function: Callable, name: str) -> _KwargsUse:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError):  # compiled or generated: nothing to read
        return _KwargsUse(elsewhere=True)
    nodes = list(ast.walk(tree))
    use = _KwargsUse()
    understood = 0
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr="__init__", value=parent), keywords=keywords) if any(
                k.arg is None and _is_name(k.value, name) for k in keywords
            ):
                use.to_parent = True
                use.fixed |= {k.arg for k in keywords if k.arg}
                if isinstance(parent, ast.Call) and parent.args and isinstance(parent.args[0], ast.Name):
                    use.after = parent.args[0].id
            case ast.Call(func=ast.Attribute(value=owner, attr="update")) if _is_name(owner, name):
                pass
            case (
                ast.Call(
                    func=ast.Attribute(value=owner, attr="pop" | "get" | "setdefault"),
                    args=[ast.Constant(value=key), *_],
                )
                | ast.Compare(left=ast.Constant(value=key), comparators=[owner])
                | ast.Subscript(value=owner, slice=ast.Constant(value=key), ctx=ast.Load())
            ) if _is_name(owner, name):
                use.read.add(key)
            case ast.Subscript(value=owner, slice=ast.Constant()) if _is_name(owner, name):
                pass
            case _:
                continue
        understood += 1
    loads = sum(_is_name(node, name) and isinstance(node.ctx, ast.Load) for node in nodes)
    use.elsewhere = loads > understood
    return use


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
