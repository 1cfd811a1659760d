"""What the source of a component mentions: the judge of dictionaries that no signature describes."""

import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

# A dictionary may be handed down to any of these; searching torch itself would allow every word.
_SEARCHED = ("mmvisionllama", "mmengine", "mmcv", "mmpretrain", "mmseg", "mmdet")


def _family(owner: Callable) -> tuple[type | Callable, ...]:
    return inspect.getmro(owner) if inspect.isclass(owner) else (owner,)


@functools.cache
def keys_read(owner: Callable, name: str) -> frozenset[str]:
    """Return the keys that the modules of ``owner`` and its parents read from a dictionary ``name``."""
    literal = r"['\"](\w+)['\"]"
    pattern = re.compile(
        rf"\b{name}(?:\.get\(|\.pop\(|\.setdefault\(|\[)\s*{literal}"
        rf"|\b{name}\.(\w+)\b(?!\()"
        rf"|{literal}\s+(?:not\s+)?in\s+(?:self\.)?{name}\b"
    )
    modules = {cls.__module__ for cls in _family(owner)}
    texts = (_module_text(module) for module in modules if module.partition(".")[0] in _SEARCHED)
    return frozenset(word for text in texts for hit in pattern.findall(text) for word in hit if word)


def can_be_searched(owner: Callable) -> bool:
    """Return whether the package that defines ``owner`` is one whose words tell anything."""
    return owner.__module__.partition(".")[0] in _SEARCHED


def vocabulary(owner: Callable) -> frozenset[str]:
    """Return every word in the sources of the packages that define ``owner`` and its parents."""
    packages = {cls.__module__.partition(".")[0] for cls in _family(owner)} & set(_SEARCHED)
    return frozenset().union(*(_package_words(package) for package in packages))


def _module_text(module: str) -> str:
    return Path(sys.modules[module].__file__).read_text(encoding="utf-8")


@functools.cache
def _package_words(package: str) -> frozenset[str]:
    root = Path(importlib.util.find_spec(package).origin).parent
    words: set[str] = set()
    for file in root.rglob("*.py"):
        if ".mim" not in file.parts:  # the configs and tools that a package ships read nothing
            words.update(re.findall(r"\b[A-Za-z_]\w*", file.read_text(encoding="utf-8")))
    return frozenset(words)
