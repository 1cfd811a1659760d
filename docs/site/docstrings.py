"""Docstrings of this package as Google's style has them: "Raises: X: why" on one line becomes a section."""

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Args|Raises|Returns|Yields|Attributes): (\S.*(?:\n(?!\s*$) +\S.*)*)", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+): ")


class Sections(griffe.Extension):
    """Put what follows the name of a section on its line below it."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = as_sections(obj.docstring.value)


def as_sections(text: str) -> str:
    """Return a docstring with its sections as blocks."""
    return _SECTION.sub(_block, text)


def _block(found: re.Match[str]) -> str:
    name, rest = found[1], " ".join(line.strip() for line in found[2].splitlines())
    if name in ("Raises", "Args", "Attributes") and not _ENTRY.match(rest):
        return found[0]
    return f"\n{name}:\n    {rest}\n"
