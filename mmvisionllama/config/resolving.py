"""From the ``type`` of a component to its class, found where mmengine's builders would find it."""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence

from mmengine.registry import Registry
from mmengine.utils import get_object_from_string

from mmvisionllama.names import nearest

from ..registry import SCOPE

SCOPES = (SCOPE, "mmseg", "mmpretrain", "mmdet", "mmengine")
_MMCV_MODULES = ("mmcv.cnn", "mmcv.transforms")  # they register in mmengine's root, under no scope


class UnknownType(Exception):
    """No registry has the type; ``nearest`` is the closest name that one has."""

    def __init__(self, message: str, nearest: str | None = None) -> None:
        super().__init__(message)
        self.nearest = nearest


def resolve(type_: str | Callable, kind: str, scopes: Sequence[str]) -> Callable:
    """Return the class or function that ``type_`` stands for.

    Args:
        type_: A registered name, with or without a scope, a dotted path, or the class itself.
        kind: Name of the root registry that the place asks for. Models build some of their parts with
            other registries (samplers, coders, tokenizers), so for "model" those are tried after it.
        scopes: Where a name without a scope is looked for, in this order.

    Raises:
        UnknownType: with the nearest name, the package that has the type, or the import that failed.
    """
    if not isinstance(type_, str):
        if callable(type_):
            return type_
        raise UnknownType(f"a type is a name or a class, got {type_!r}")
    prefix, _, name = type_.rpartition(".")
    if prefix and not _is_scope(prefix):
        found = get_object_from_string(type_)
    else:
        searched = [prefix] if prefix else scopes
        found = next((hit for scope in searched if (hit := _find(name, kind, scope))), None)
    if not callable(found):
        raise UnknownType(*_explain(prefix, name, kind, scopes))
    return found


def _is_scope(prefix: str) -> bool:
    return prefix in SCOPES or not import_failure(prefix)


def _find(name: str, kind: str, scope: str) -> Callable | None:
    for registry in _registries(scope, kind):
        _import_locations(registry)
        node: Registry | None = registry
        while node is not None:
            if name in node.module_dict:
                return node.module_dict[name]
            node = node.parent
    return None


def _registries(scope: str, kind: str) -> Iterator[Registry]:
    """Yield the scope's own registries of the kind, for models then the others; likewise mmengine's."""
    for name in dict.fromkeys((scope, "mmengine")):
        if not import_failure(name):
            found = vars(importlib.import_module(f"{name}.registry")).values()
            own = [x for x in found if isinstance(x, Registry) and x.scope == name]
            yield from (x for x in own if x.root.name == kind)
            if kind == "model":
                yield from (x for x in own if x.root.name != kind)


@functools.cache
def import_failure(scope: str) -> str:
    """Return the last line of what importing the scope's registries raises; empty when they import."""
    try:
        for module in (*_MMCV_MODULES, f"{scope}.registry"):
            importlib.import_module(module)
    except Exception as error:  # a half-installed host may fail with anything; the line is reported
        return f"{type(error).__name__}: {error}"
    return ""


@functools.cache
def _import_locations(registry: Registry) -> str:
    """Import what registers itself in ``registry``; return the last line of a failure, or nothing."""
    try:
        registry.import_from_location()
    except Exception as error:  # as above
        return f"{type(error).__name__}: {error}"
    return ""


def _explain(prefix: str, name: str, kind: str, scopes: Sequence[str]) -> tuple[str, str | None]:
    if prefix and not _is_scope(prefix):
        package = nearest(prefix, SCOPES)
        reason = f"{prefix} has no registries ({import_failure(prefix)}) and no {name} to import"
        return reason, f"{package}.{name}" if package else None
    searched = (prefix,) if prefix else tuple(scopes)
    place = " and ".join(searched)
    for scope in searched:
        if failure := _failure(scope, kind):
            return f"no {kind} {name!r} in {place}: importing {scope} failed with {failure}", None
    installed = [scope for scope in SCOPES if importlib.util.find_spec(scope)]
    qualified = {f"{scope}.{own}": own for scope in installed for own in _names(scope, kind)}
    if providers := [path for path, own in qualified.items() if own == name]:
        return f"no {kind} {name!r} in {place}; it is in {' and '.join(providers)}", providers[0]
    visible = [own for scope in (*searched, "mmengine") for own in _names(scope, kind)]
    hit = nearest(name, visible)
    if hit is not None and prefix:
        hit = f"{prefix}.{hit}"
    return f"no {kind} {name!r} in {place}", hit or nearest(name, qualified)


def _failure(scope: str, kind: str) -> str:
    failures = (_import_locations(x) for x in _registries(scope, kind) if x.scope == scope)
    return import_failure(scope) or next(filter(None, failures), "")


def _names(scope: str, kind: str) -> list[str]:
    """Return the names that the scope's registries of this kind hold themselves."""
    own = [x for x in _registries(scope, kind) if x.scope == scope and x.root.name == kind]
    for registry in own:
        _import_locations(registry)
    return [name for registry in own for name in registry.module_dict]
