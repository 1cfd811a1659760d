"""The walk through a configuration: each key is held against the component that receives it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmvisionllama.names import nearest
from mmvisionllama.signatures import accepted_arguments

from ..registry import SCOPE
from .errors import Problem
from .resolving import UnknownType, resolve
from .sources import can_be_searched, keys_taken, package_of, says, vocabulary

_MARKS = frozenset({"type", "_scope_"})  # what mmengine's builders take away themselves


@dataclass(frozen=True)
class Spot:
    """A place in the config: its key path, who reads it, and where types there are looked up.

    Attributes:
        kind: Name of the root registry that a ``type`` at this place belongs to.
        owner: The class or function that receives the value, None where there is none.
    """

    path: str = ""
    kind: str = "model"
    scopes: tuple[str, ...] = ("mmengine",)
    owner: Callable | None = None

    @property
    def key(self) -> str:
        return next((x for x in reversed(self.path.split(".")) if not x.isdigit()), "")

    @property
    def owner_name(self) -> str:
        return getattr(self.owner, "__name__", "")

    def below(self, key: str | int) -> "Spot":
        return replace(self, path=f"{self.path}.{key}" if self.path else str(key))


Rule = Callable[["Checker", dict, Spot], None]  # checks the dictionary at a place


class Checker:
    """One pass over a configuration; the wrong keys gather in ``problems``."""

    def __init__(self, by_name: Mapping[str, Rule], unchecked: Iterable[str] = ()) -> None:
        self.problems: list[Problem] = []
        self._by_name = by_name
        self.unmatched = set(unchecked)  # opt-outs that no key path of the config has met yet
        self._unchecked = frozenset(self.unmatched)

    def value(self, value: Any, spot: Spot, rule: Rule | None = None) -> None:
        """Check a value by the rule of its place or, without one, by what it is."""
        if self._opted_out(spot.path):
            return
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                self.value(item, spot.below(index), rule)
            return
        rule = rule or self._by_name.get(f"{spot.owner_name}.{spot.key}") or self._by_name.get(spot.key)
        if not isinstance(value, dict):
            return
        if rule is not None:
            rule(self, value, spot)
        elif "type" in value:
            self.component(value, spot)
        else:
            self.mentioned(value, spot)

    def component(
        self, cfg: dict, spot: Spot, default: str | Callable | None = None, also: Collection[str] = ()
    ) -> None:
        """Check the keys of a component against its constructor, then its values.

        Args:
            default: The type where the config gives none.
            also: Keys that the builder takes before it calls the constructor.
        """
        type_ = cfg.get("type", default)
        if type_ is None:
            self.problems.append(Problem(spot.path, f"has no 'type', only {', '.join(map(str, cfg))}"))
            return
        if "_scope_" in cfg:
            spot = replace(spot, scopes=(cfg["_scope_"],))
        try:
            target = resolve(type_, spot.kind, spot.scopes)
        except UnknownType as error:
            if spot.owner and isinstance(type_, str) and says(spot.owner, type_):
                self.mentioned(cfg, spot)  # no component: the owner itself tells these types apart
                return
            self.problems.append(Problem(f"{spot.path}.type", str(error), error.nearest))
            return
        arguments = accepted_arguments(target)
        allowed = arguments.names | frozenset(also)
        if spot.owner:
            allowed |= keys_taken(spot.owner, spot.key)
        unknown = [key for key in cfg if key not in allowed | _MARKS]
        if arguments.open:
            unknown = self.unheard_of(unknown, target)
        inner = replace(spot, owner=target, scopes=_scopes_inside(target, spot))
        self.unknown(unknown, spot, inner.owner_name, allowed)
        for key, value in cfg.items():
            if key not in _MARKS and key not in unknown:
                self.value(value, inner.below(key))

    def keys(
        self, cfg: dict, spot: Spot, allowed: Collection[str], rules: Mapping[str, Rule] | None = None
    ) -> None:
        """Check a dictionary without a type against the names that its reader knows."""
        unknown = [key for key in cfg if key not in allowed]
        self.unknown(unknown, spot, spot.path or "the config", allowed)
        for key, value in cfg.items():
            if key in allowed:
                self.value(value, spot.below(key), (rules or {}).get(key))

    def mentioned(self, cfg: dict, spot: Spot) -> None:
        """Check a dictionary that no table describes: its keys must be words of the owner's sources."""
        unknown = self.unheard_of(cfg, spot.owner) if spot.owner else []
        for key in unknown:
            if self._opted_out(spot.below(key).path):
                continue
            words = f"no source that {spot.owner_name} is made of mentions {key!r}"
            self.problems.append(
                Problem(spot.below(key).path, words, nearest(key, vocabulary(spot.owner), 0.75))
            )
        for key, value in cfg.items():
            if key not in unknown:
                self.value(value, spot.below(key))

    def _opted_out(self, path: str) -> bool:
        self.unmatched.discard(path)
        return path in self._unchecked

    @staticmethod
    def unheard_of(keys: Iterable[Any], owner: Callable) -> list[str]:
        """Return the identifiers among ``keys`` that the packages which define ``owner`` never use."""
        if not can_be_searched(owner):
            return []
        words = vocabulary(owner)
        return [key for key in keys if isinstance(key, str) and key.isidentifier() and key not in words]

    def unknown(self, keys: Sequence[str], spot: Spot, place: str, allowed: Collection[str]) -> None:
        for key in keys:
            path = spot.below(key).path
            if self._opted_out(path):
                continue
            if key == "_delete_":
                self.problems.append(Problem(path, "there is nothing in a base config that it could delete"))
            else:
                self.problems.append(Problem.unknown_key(path, place, allowed))


def _scopes_inside(target: Callable, spot: Spot) -> tuple[str, ...]:
    """Our networks build their parts from our own registry first, whatever the default scope."""
    ours = package_of(target) == SCOPE and spot.kind == "model"
    return tuple(dict.fromkeys((SCOPE, *spot.scopes))) if ours else spot.scopes
