"""What a wrong configuration is reported as."""

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_SHOWN = 12


class ConfigError(ValueError):
    """A configuration that cannot be used as it stands.

    Attributes:
        problems: Every wrong key of the config, empty when the file itself could not be read.
    """

    def __init__(self, message: str, problems: Iterable["Problem"] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)


@dataclass(frozen=True)
class Problem:
    """One wrong key or value of a configuration, with the place where it stands."""

    path: str
    message: str
    nearest: str | None = None
    allowed: tuple[str, ...] = ()

    @classmethod
    def unknown_key(cls, path: str, place: str, allowed: Collection[str]) -> "Problem":
        """Report the last key of ``path`` as one that ``place`` does not know."""
        key = path.rpartition(".")[2]
        return cls(path, f"{place} knows no {key!r}", nearest(key, allowed), tuple(sorted(allowed)))

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}"
        if self.nearest:
            text += f"; did you mean {self.nearest!r}?"
        if self.allowed:
            text += f" Allowed: {shortened(self.allowed)}"
        return text


def nearest_names(name: str, known: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return up to ``count`` known names that ``name`` resembles, the nearest first."""
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.lower(), candidate)
    return [folded[hit] for hit in difflib.get_close_matches(name.lower(), list(folded), count, cutoff)]


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that ``name`` most resembles, if any does."""
    return next(iter(nearest_names(name, known, 1, cutoff)), None)


def shortened(names: Collection[str]) -> str:
    """Return the names as one line, the surplus as a count."""
    names = list(names)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f", ... ({more} more)" if more > 0 else "")
