"""One wrong key or value of a config, as it is reported, and the error that holds all of them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mmvisionllama.errors import ConfigError
from mmvisionllama.suggestions import nearest, shortened


@dataclass(frozen=True)
class ConfigProblem:
    """One wrong key or value of a config, with the place where it stands."""

    path: str
    message: str
    nearest: str | None = None
    allowed: tuple[str, ...] = ()

    @classmethod
    def unknown_key(cls, path: str, place: str, allowed: Collection[str]) -> "ConfigProblem":
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


def raise_problems(problems: Iterable[ConfigProblem], heading: str = "", advice: str = "") -> None:
    """Raise a ConfigError with a line for each problem, if there is any."""
    lines = list(dict.fromkeys(problems))
    if lines:
        indent = "  " if heading else ""
        text = [heading, *(f"{indent}{problem}" for problem in lines), advice]
        raise ConfigError("\n".join(filter(None, text)), lines)
