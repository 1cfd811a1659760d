"""Compare the weights that a model has with those that a checkpoint gives."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Match:
    """What two maps from weight names to shapes have in common and what they do not.

    Attributes:
        matched: Names that both have, in the same shape.
        missing: Names that only the model has.
        unexpected: Names that only the checkpoint has.
        differing: (name, shape in the model, shape in the checkpoint).
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    differing: tuple[tuple[str, Shape, Shape], ...]

    @property
    def exact(self) -> bool:
        return not (self.missing or self.unexpected or self.differing)

    def describe(self, limit: int = 6) -> str:
        """List every kind of difference on its own line, at most ``limit`` names of each."""
        different = [f"{name} {model} here, {given} there" for name, model, given in self.differing]
        lines = [
            f"{len(self.matched)} weights match",
            _listing("only in the model", self.missing, limit),
            _listing("only in the checkpoint", self.unexpected, limit),
            _listing("of another shape", different, limit),
        ]
        return "\n".join(f"  {line}" for line in lines if line)


def compare(model: Mapping[str, Shape], checkpoint: Mapping[str, Shape]) -> Match:
    """Compare two maps from weight names to shapes, in the order of the maps."""
    both = [name for name in model if name in checkpoint]
    return Match(
        matched=tuple(name for name in both if model[name] == checkpoint[name]),
        # Checkpoints from before PyTorch 0.4 lack this counter, which only BatchNorm(momentum=None) reads.
        missing=tuple(x for x in model if x not in checkpoint and not x.endswith("num_batches_tracked")),
        unexpected=tuple(name for name in checkpoint if name not in model),
        differing=tuple((x, model[x], checkpoint[x]) for x in both if model[x] != checkpoint[x]),
    )


def hidden_prefix(model: Iterable[str], checkpoint: Iterable[str]) -> str | None:
    """Return the prefix under which the checkpoint has most names of the model, e.g. ``backbone.``."""
    wanted, given = set(model), set(checkpoint)
    prefixes = {name[: dot + 1] for name in given for dot in range(len(name)) if name[dot] == "."}
    hits = {prefix: sum(prefix + name in given for name in wanted) for prefix in sorted(prefixes)}
    best = max(hits, key=hits.__getitem__, default=None)
    return best if best is not None and 2 * hits[best] > len(wanted) else None


def _listing(what: str, names: Iterable[str], limit: int) -> str:
    names = list(names)
    if not names:
        return ""
    more = f", ... ({len(names) - limit} more)" if len(names) > limit else ""
    return f"{len(names)} {what}: {', '.join(names[:limit])}{more}"
