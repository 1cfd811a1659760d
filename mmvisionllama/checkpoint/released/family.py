"""Description of one kind of released checkpoint: its names, sizes, task and licence."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmvisionllama.checkpoint.released.shapes import Shapes, plain_sizes

Renames = tuple[tuple[str, str], ...]
Weights = dict[str, Tensor]
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # of pixels, RGB


@dataclass(frozen=True)
class Licence:
    """Terms that whoever uses weights has to accept.

    Attributes:
        name: What ``--accept-license`` takes.
        terms: What they are, and where to read them.
    """

    name: str
    terms: str


@dataclass(frozen=True)
class Family:
    """One kind of released checkpoint.

    Attributes:
        about: What was published in it.
        has: Names, of the backbone unless they begin with another part, that all checkpoints of it have;
            ``a|b``: one of the two.
        lacks: Names that none has.
        asked: Names do not tell it from another kind, so it must be asked for.
        type: The backbone of ours.
        renames: Patterns of its names and what takes their place, applied in this order.
        prepare: Changes weights by our names that need more than a name.
        channels: The channels of a head of that width in our order, by their place in the checkpoint's: rows
            of queries and keys are reordered so that pairs of ours are rotated as theirs were.
        sizes: Reads the sizes, given the shapes by our names and what the caller knows.
        task: Arguments that follow from what the checkpoint is for.
        rope: The kind of positions unless the caller knows another.
        unused: Patterns of names that are left out, and why.
        pixels: Mean and deviation of the images.
        licence: Terms to accept first.
    """

    about: str
    has: tuple[str, ...]
    renames: Renames
    task: Callable[[Shapes], dict[str, Any]]
    type: str = "mmvisionllama.VisionLLaMA"
    sizes: Callable[[Shapes, Mapping[str, Any]], dict[str, Any]] = plain_sizes
    lacks: tuple[str, ...] = ()
    asked: bool = False
    rope: str | None = "RoPE2D"
    prepare: Callable[[Weights], Weights] = lambda weights: weights
    channels: Callable[[int], list[int]] | None = None
    unused: Mapping[str, str] = field(default_factory=dict)
    pixels: Mapping[str, list[float]] = field(default_factory=lambda: IMAGENET)
    licence: Licence | None = None

    def fits(self, names: Set[str]) -> bool:
        """Whether a checkpoint with these names is one."""
        return self.has_needed(names) and names.isdisjoint(self.lacks)

    def has_needed(self, names: Set[str]) -> bool:
        """Whether these are all names that one needs."""
        return all(not names.isdisjoint(name.split("|")) for name in self.has)
