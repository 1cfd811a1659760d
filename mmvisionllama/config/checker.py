"""Check a whole config: hold each key and value against the constructor or section that receives it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import FunctionType
from typing import Any

from mmengine.config import Config

from mmvisionllama.config.component_types import ANY, SCOPES, ConfigPath, UnknownType, import_failure, resolve
from mmvisionllama.config.problems import ConfigProblem
from mmvisionllama.config.sections import BY_NAME, FREE, HANDED_ON, ROOT, Entry, Registered, Section
from mmvisionllama.config.value_types import type_of, wrong_type
from mmvisionllama.config.variables import useless_variables, walk
from mmvisionllama.registry import SCOPE
from mmvisionllama.signatures import accepted_arguments
from mmvisionllama.suggestions import nearest

_MARKS = ("type", "_scope_")  # mmengine's builders take them away
_UNKNOWN = Section(known=("type", "types", "dtype"))
_LIKE = 0.7  # a key that resembles a known one so much is taken for a misspelling of it


def check_config(cfg: Config, sections: Iterable[str] | None = None) -> list[ConfigProblem]:
    """Return every key of ``cfg`` that nothing reads, every wrong value and every type that nothing provides.

    Nothing is built; the packages that provide the types are imported. What the config lists under
    ``unchecked``, key paths with all below them, is left out.

    Args:
        sections: Names at the top level that are looked at; None: all, and ``unchecked`` itself.
    """
    unchecked = cfg.get("unchecked") or ()
    if problem := wrong_type(unchecked, list[str]):
        return [ConfigProblem("unchecked", problem)]
    scope = cfg.get("default_scope") or "mmengine"
    if failure := import_failure(scope):  # no type could be found, so nothing else is worth saying
        text = f"importing the registries of {scope!r} failed with {failure}"
        return [ConfigProblem("default_scope", text, nearest(str(scope), SCOPES))]
    checker = _Checker(unchecked)
    at = ConfigPath(scopes=(scope,))
    for key in ROOT if sections is None else sections:
        if cfg.get(key) is not None:
            checker.value(cfg[key], at.below(key), ROOT[key])
    problems = checker.problems
    if sections is None:
        problems += useless_variables(cfg)
        missing = sorted({*unchecked} - {path for path, _ in walk(dict(cfg.items()))})
        problems += [ConfigProblem("unchecked", f"the config has no {path!r}") for path in missing]
    return problems


def check_section(value: Any, path: str, entry: Entry) -> list[ConfigProblem]:
    """Return what is wrong with a value by itself, by an entry of the table of sections."""
    checker = _Checker(())
    checker.value(value, ConfigPath(path), entry)
    return checker.problems


class _Checker:
    """One pass over a config; what is wrong gathers in ``problems``."""

    def __init__(self, unchecked: Iterable[str]) -> None:
        self.problems: list[ConfigProblem] = []
        self._unchecked = frozenset(unchecked)

    def value(self, value: Any, at: ConfigPath, entry: Entry) -> None:
        """Check a value by the entry of its place and, where this is a type, by what it holds."""
        if entry is FREE or self._opted_out(at):
            return
        if isinstance(entry, (Section, FunctionType)):
            self._in_section(value, at, entry)
        elif isinstance(entry, Registered):
            self._resolved(value, at, replace(at, registry=entry.registry))
        elif problem := wrong_type(value, entry):
            self._report(at, problem)
        else:
            self._inside(value, at)

    def _in_section(self, value: Any, at: ConfigPath, entry: Entry) -> None:
        section = entry
        if isinstance(entry, FunctionType):
            section = entry(value if isinstance(value, dict) else {}, at)
        if isinstance(value, dict) and section.lists is not True:
            self._dict(value, at, section)
        elif isinstance(value, (list, tuple)) and section.lists is not False:
            plain = str if section.plain is Any else section.plain
            each = replace(entry, lists=None, plain=plain) if isinstance(entry, Section) else entry
            for index, item in enumerate(value):
                self.value(item, at.below(index), each)
        elif section.plain is not Any:
            taken = {True: list[dict], False: dict, None: dict | list}[section.lists] | section.plain | None
            if problem := wrong_type(value, taken):
                self._report(at, problem)

    def _inside(self, value: Any, at: ConfigPath) -> None:
        """Check the components inside a value that nothing else is known about."""
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                if not self._opted_out(at.below(index)):
                    self._inside(item, at.below(index))
        elif isinstance(value, dict):
            registry = "model" if at.registry == "model" else ANY
            self._dict(value, at, Section(registry) if "type" in value else _UNKNOWN)

    def _dict(self, value: dict, at: ConfigPath, section: Section) -> None:
        """Check the keys of a dictionary, and its values."""
        entries, name, inner = section.keys, "", at
        is_open = section.known is not None or section.values is not None
        known = {*entries, *(section.known or ())}
        if is_component := section.registry is not None and (
            "type" in value or section.default or not is_open
        ):
            target = self._class_of(value, at, section)
            if target is None:
                return
            arguments = accepted_arguments(target)
            types = {key: section.arguments.get(key, type_of(x)) for key, x in arguments.by_name.items()}
            entries = types | entries
            is_open, name = arguments.open, getattr(target, "func", target).__name__
            known = {*entries, *HANDED_ON.get(name, ()), *(["type"] if is_open else [])}
            inner = replace(at, registry=section.registry, owner=target)
            inner = replace(inner, scopes=_scopes_inside(value, inner))
        for key, item in value.items():
            below = inner.below(key)
            if self._opted_out(below) or (is_component and key in _MARKS):
                continue
            if key == "_delete_":
                self._report(below, "there is nothing in a base config that it could delete")
            elif key in known or (is_open and not nearest(key, known, _LIKE)):
                self.value(item, below, _entry(key, item, name, section, entries.get(key, Any)))
            else:
                self.problems.append(ConfigProblem.unknown_key(below.path, name or at.path, known))

    def _class_of(self, value: dict, at: ConfigPath, section: Section) -> Callable | None:
        type_ = value.get("type", section.default)
        if type_ is None:
            self._report(at, f"has no 'type', only {', '.join(map(str, value))}")
            return None
        if isinstance(type_, str):
            type_ = section.prefix + type_
        scopes = (value["_scope_"],) if "_scope_" in value else at.scopes
        return self._resolved(type_, at.below("type"), replace(at, registry=section.registry, scopes=scopes))

    def _resolved(self, type_: Any, at: ConfigPath, where: ConfigPath) -> Callable | None:
        try:
            return resolve(type_, where.registry, where.scopes)
        except UnknownType as error:
            self.problems.append(ConfigProblem(at.path, str(error), error.nearest))
            return None

    def _opted_out(self, at: ConfigPath) -> bool:
        return at.path in self._unchecked

    def _report(self, at: ConfigPath, text: str) -> None:
        self.problems.append(ConfigProblem(at.path, text))


def _entry(key: str, item: Any, owner: str, section: Section, annotation: Any) -> Entry:
    """Return what is known about a value: by its section, else by the name of its key or its annotation."""
    own = section.arguments.get(key) or section.keys.get(key) or section.values
    if own is not None:
        return own
    is_dict = isinstance(item, dict)
    named = BY_NAME.get(f"{owner}.{key}", BY_NAME.get(key))
    if isinstance(named, Section):
        if isinstance(item, (dict, list, tuple)):
            return replace(named, plain=Any, lists=None)
    elif named is not None and (is_dict or not isinstance(named, FunctionType)):
        return named
    return section if section.known and is_dict and "type" not in item else annotation


def _scopes_inside(value: dict, at: ConfigPath) -> tuple[str, ...]:
    """Our networks build their parts from our own registry first, whatever the default scope."""
    scopes = (value["_scope_"],) if "_scope_" in value else at.scopes
    ours = at.owner.__module__.partition(".")[0] == SCOPE and at.registry == "model"
    return tuple(dict.fromkeys((SCOPE, *scopes))) if ours else scopes
