"""What a wrong configuration is reported as."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mmvisionllama.names import nearest, shortened


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
            text += "" if self.nearest else "."
            text += f" Allowed: {shortened(self.allowed)}"
        return text
