"""Numbers on the command line: what each option takes, and one line about anything else."""

import argparse
import math
from dataclasses import dataclass

_HUGE = 10**9


@dataclass(frozen=True)
class Number:
    """A ``type`` for argparse: a number within bounds, and a finite one.

    Attributes:
        above: The lower bound itself is not taken.
    """

    kind: type[int] | type[float]
    least: float
    most: float
    above: bool = False

    def __call__(self, text: str) -> int | float:
        try:
            value = self.kind(text)
        except (ValueError, OverflowError):
            value = math.nan
        if not self.least <= value <= self.most or (self.above and value == self.least):
            got = text if len(text) <= 40 else f"{text[:40]}..."
            raise argparse.ArgumentTypeError(f"takes {self}, got {got!r}")
        return value

    def __str__(self) -> str:
        words = "a whole number" if self.kind is int else "a number"
        low = f"above {self.least:,}" if self.above else f"of at least {self.least:,}"
        return f"{words} {low} and at most {self.most:,}"


@dataclass(frozen=True)
class OrWord:
    """A ``type`` for argparse: a number within bounds, or one word in its place."""

    number: Number
    word: str

    def __call__(self, text: str) -> int | float | str:
        if text == self.word:
            return text
        try:
            return self.number(text)
        except argparse.ArgumentTypeError:
            got = text if len(text) <= 40 else f"{text[:40]}..."
            raise argparse.ArgumentTypeError(f"takes {self}, got {got!r}") from None

    def __str__(self) -> str:
        return f"{self.number}, or {self.word}"


def whole(least: int = 1, most: int = _HUGE) -> Number:
    """Take whole numbers in [least, most]; counts of images or steps are positive."""
    return Number(int, least, most)


SEED = whole(0, 2**32 - 1)  # what every random generator takes
SIDE = whole(1, 100_000)  # of an image in pixels
