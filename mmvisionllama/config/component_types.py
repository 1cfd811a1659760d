"""Look up the class that the ``type`` of a component names, where mmengine's builders would find it."""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmengine.registry import Registry
from mmengine.utils import get_object_from_string

from mmvisionllama.compat import raise_if_extra
from mmvisionllama.registry import SCOPE, LazyRegistry
from mmvisionllama.suggestions import nearest

SCOPES = (SCOPE, "mmseg", "mmpretrain", "mmdet", "mmengine")
ANY = "component"  # the kind of a place where a type may come from any registry
_MMCV_MODULES = ("mmcv.cnn", "mmcv.transforms")  # they register in mmengine's root, under no scope


@dataclass(frozen=True)
class ConfigPath:
    """A place in a config: its key path, who reads it, and where types there are looked up.

    Attributes:
        registry: Name of the root registry that a ``type`` at this place belongs to.
        owner: The class or function that receives the value, None where there is none.
    """

    path: str = ""
    registry: str = "model"
    scopes: tuple[str, ...] = ("mmengine",)
    owner: Callable | None = None

    def below(self, key: str | int) -> "ConfigPath":
        return replace(self, path=f"{self.path}.{key}" if self.path else str(key))


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


def resolve_untrusted(type_: Any, kind: str, scopes: Sequence[Any]) -> Callable:
    """Do what ``resolve`` does for a type that a checkpoint names: no module is imported because it says so.

    Registered names are looked up in the known scopes, dotted paths among what is imported already.

    Raises: UnknownType: for anything else.
    """
    if not isinstance(type_, str):
        raise UnknownType(f"a type is a name, got {type_!r:.80}")
    prefix, _, name = type_.rpartition(".")
    if not prefix or prefix in SCOPES:
        return resolve(type_, kind, [x for x in scopes if x in SCOPES])
    found = vars(sys.modules[prefix]).get(name) if prefix in sys.modules else None
    if not isinstance(found, type):
        raise UnknownType(f"nothing that is imported is called {type_}")
    return found


def untrusted(value: Any, scopes: Sequence[str]) -> Iterator[str]:
    """Yield what could run foreign code if a config is built that is data: nobody has read it before.

    That is a ``type`` which neither a registry of ``SCOPES`` nor ``mmcv.ops`` has, since mmengine's builders
    import it; another scope, since they import that; and a text with a call in it, since some components of
    the hosts evaluate theirs.

    Args:
        scopes: Where a name without a scope is looked for, in this order; then in all others.
    """
    if isinstance(value, str) and "(" in value:
        yield f"the text {value!r}"
    if isinstance(value, Mapping):
        if "type" in value and not _is_known(value["type"], dict.fromkeys((*scopes, *SCOPES))):
            yield f"the type {value['type']!r}"
        if value.get("_scope_", SCOPE) not in SCOPES:
            yield f"the scope {value['_scope_']!r}"
        value = [*value.values()]
    for part in value if isinstance(value, (list, tuple)) else ():
        yield from untrusted(part, scopes)


def _is_known(type_: Any, scopes: Iterable[str]) -> bool:
    prefix, _, name = str(type_).rpartition(".")
    searched = [prefix] if prefix else scopes
    # NMS and RoIAlign are named by the hosts' configs, too, but are in no registry.
    return any(_find(name, ANY, scope) for scope in searched if scope in SCOPES) or (
        not prefix and name.isidentifier() and hasattr(importlib.import_module("mmcv.ops"), name)
    )


def _is_scope(prefix: str) -> bool:
    return prefix in SCOPES or not import_failure(prefix)


def _find(name: str, kind: str, scope: str) -> Callable | None:
    for registry in _registries(scope, kind):
        _import(registry, name)
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
            if kind in ("model", ANY):
                yield from (x for x in own if x.root.name != kind)


@functools.cache
def import_failure(scope: str) -> str:
    """Return the last line of what importing the scope's registries raises; empty when they import.

    Raises: UserError: if that needs an extra that is not installed.
    """
    try:
        for module in (*_MMCV_MODULES, f"{scope}.registry"):
            importlib.import_module(module)
    except Exception as error:  # a half-installed host may fail with anything; the line is reported
        raise_if_extra(error)
        return f"{type(error).__name__}: {error}"
    return ""


@functools.cache
def _import(registry: Registry, name: str) -> str:
    """Import what may register ``name`` in ``registry``; return the last line of a failure, or nothing.

    Raises: UserError: if that needs an extra that is not installed.
    """
    try:
        if isinstance(registry, LazyRegistry):
            registry.find(name)
        else:
            registry.import_from_location()
    except Exception as error:  # as above
        raise_if_extra(error)
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
        if failure := _failure(scope, kind, name):
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


def _failure(scope: str, kind: str, name: str) -> str:
    failures = (_import(x, name) for x in _registries(scope, kind) if x.scope == scope)
    return import_failure(scope) or next(filter(None, failures), "")


def _names(scope: str, kind: str) -> list[str]:
    """Return the names that the scope's registries of this kind hold themselves."""
    found: list[str] = []
    for registry in _registries(scope, kind):
        if registry.scope == scope and kind in (registry.root.name, ANY):
            _import(registry, "")
            found += registry.names() if isinstance(registry, LazyRegistry) else registry.module_dict
    return found
