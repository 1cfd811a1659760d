"""Compare names and shapes of a model's weights with those of a checkpoint."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

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


def shapes_of(weights: Mapping[str, Any]) -> dict[str, Shape]:
    """Return the shapes of the tensors in a state dict."""
    return {name: tuple(x.shape) for name, x in weights.items() if isinstance(x, Tensor)}


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


class Block(NamedTuple):
    """A numbered part of a model, and which of its weights a checkpoint has in their shape.

    Attributes:
        name: E.g. ``backbone.stages.0.blocks.1``.
        given: How many of them the checkpoint has.
        lacking: Names inside the block of those that it has not.
    """

    name: str
    given: int
    lacking: tuple[str, ...]

    @property
    def is_partial(self) -> bool:
        return bool(self.given and self.lacking)


# Up to the first number, or a second one where stages hold blocks: layers.3, stages.0.blocks.1, layer1.0.
_BLOCK = re.compile(r"((?:.*?\.)?\d+(?:(?:\.blocks)?\.\d+(?=\.[A-Za-z_]))?)\.(.+)")


def blocks_of(match: Match, below: str = "") -> list[Block]:
    """Return the blocks of the model whose names begin with ``below``, in the order of their names."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    both = (match.matched, (*match.missing, *(name for name, _, _ in match.differing)))
    for place, names in enumerate(both):
        for name in names:
            if name.startswith(below) and (parts := _BLOCK.fullmatch(name)):
                found.setdefault(parts[1], ([], []))[place].append(parts[2])
    return [Block(name, len(given), tuple(lacking)) for name, (given, lacking) in found.items()]


def describe_blocks(blocks: Iterable[Block], limit: int = 6) -> list[str]:
    """Say what share of each block came in, alike ones on one line: ``blocks 0-11: 5 of 8 weights each``."""
    alike: dict[tuple[str, int, tuple[str, ...]], list[int]] = {}
    for name, given, lacking in blocks:
        parent, _, index = name.rpartition(".")
        alike.setdefault((parent, given, lacking), []).append(int(index))
    lines = []
    for (parent, given, lacking), numbers in alike.items():
        whole = numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 1
        which = f"{numbers[0]}-{numbers[-1]}" if whole else ", ".join(map(str, numbers))
        each = " each" if len(numbers) > 1 else ""
        names = ", ".join([*lacking[:limit], *(["..."] if lacking[limit:] else [])])
        without = f", without {names}" if given and lacking else ""
        lines.append(f"{parent}.{which}: {given} of {given + len(lacking)} weights{each}{without}")
    return lines


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
