"""What the source of a component mentions: the judge of dictionaries that no signature describes."""

import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

from .resolving import SCOPES

# A component hands dictionaries down to what it is built of, and that may lie in these packages.
_COMMON = ("mmengine", "mmcv")
_LITERAL = r"['\"](\w+)['\"]"


def _reading(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"\b{name}(?:\.get\(|\.pop\(|\.setdefault\(|\[)\s*{_LITERAL}"
        rf"|\b{name}\.(\w+)\b(?!\()"
        rf"|{_LITERAL}\s+(?:not\s+)?in\s+(?:self\.)?{name}\b"
    )


def _family(owner: Callable) -> tuple[type | Callable, ...]:
    return inspect.getmro(owner) if inspect.isclass(owner) else (owner,)


def package_of(owner: Callable) -> str:
    """Return the top-level package that defines ``owner``."""
    return owner.__module__.partition(".")[0]


@functools.cache
def keys_read(owner: Callable, name: str) -> frozenset[str]:
    """Return the keys that the modules of ``owner`` and its parents read from a dictionary ``name``."""
    return _groups(_reading(name), _modules_text(owner))


@functools.cache
def keys_taken(owner: Callable, name: str) -> frozenset[str]:
    """Return the keys that ``owner`` takes out of a dictionary ``name`` before it builds from the rest."""
    return _groups(re.compile(rf"\b{name}\.pop\(\s*{_LITERAL}"), _modules_text(owner))


def packages_of(owner: Callable) -> frozenset[str]:
    """Return the top-level packages, of those that can be searched, that define ``owner`` and its parents."""
    return frozenset(package_of(cls) for cls in _family(owner)) & frozenset(SCOPES)


@functools.cache
def package_keys_read(package: str, name: str) -> frozenset[str]:
    """Return the keys that any module of ``package`` reads from a dictionary ``name`` (a pattern)."""
    return _groups(_reading(name), _package_text(package))


def says(owner: Callable, word: str) -> bool:
    """Return whether the modules of ``owner`` and its parents contain ``word`` as a string."""
    return re.search(rf"['\"]{re.escape(word)}['\"]", _modules_text(owner)) is not None


def can_be_searched(owner: Callable) -> bool:
    """Return whether ``owner`` lies where the words of the sources tell anything; torch has them all."""
    return package_of(owner) in (*SCOPES, *_COMMON)


def vocabulary(owner: Callable) -> frozenset[str]:
    """Return every word in the sources that ``owner`` and its parts may be made of."""
    return frozenset().union(*(_package_words(package) for package in {*packages_of(owner), *_COMMON}))


def _groups(pattern: re.Pattern[str], text: str) -> frozenset[str]:
    hits = pattern.findall(text)
    return frozenset(word for hit in hits for word in ((hit,) if isinstance(hit, str) else hit) if word)


@functools.cache
def _modules_text(owner: Callable) -> str:
    modules = dict.fromkeys(cls.__module__ for cls in _family(owner) if can_be_searched(cls))
    return "\n".join(Path(sys.modules[module].__file__).read_text(encoding="utf-8") for module in modules)


@functools.cache
def _package_words(package: str) -> frozenset[str]:
    return frozenset(re.findall(r"\b[A-Za-z_]\w*", _package_text(package)))


@functools.cache
def _package_text(package: str) -> str:
    root = Path(importlib.util.find_spec(package).origin).parent
    # the configs and tools that a package ships under .mim read nothing
    files = (file for file in sorted(root.rglob("*.py")) if ".mim" not in file.parts)
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
