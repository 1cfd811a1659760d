"""Random shift and scale of rotary coordinates in training."""

import math
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from mmvisionllama.arguments import AtLeast, NotNegative, check
from mmvisionllama.suggestions import check_keys

_Factor = Annotated[float, AtLeast(1)]
_OPTIONS = {"shift": NotNegative, "jitter": _Factor, "rescale": _Factor}


class Draw(NamedTuple):
    """A change of all coordinates, (coordinate + shift) x factor; one of each per axis."""

    shift: Tensor
    factor: Tensor


def read_augment(augment: dict | None) -> dict[str, float]:
    """Check the options of :func:`draw_coordinates`; return those that change something."""
    if augment is None:
        return {}
    check_keys("augment", augment, tuple(_OPTIONS))
    given = {name: check(f"augment.{name}", x, _OPTIONS[name] | None) for name, x in augment.items()}
    return {name: float(x) for name, x in given.items() if x is not None}


def draw_coordinates(augment: dict[str, float], axes: int, device: torch.device | None = None) -> Draw:
    """Draw a change of coordinates from torch's generator, whose state a resumed training has again.

    Args:
        augment: ``shift``: each axis moves by a number in -shift .. shift, in the units of the coordinates:
            tokens, or half a side where they are normalised. ``jitter``: each axis is scaled by a factor of
            its own in 1/jitter .. jitter. ``rescale``: both are, by one in 1/rescale .. rescale; the
            logarithms of factors are uniform. The order is that of DINOv3.
    """

    def uniform(count: int, bound: float) -> Tensor:
        return (2 * torch.rand(count, device=device) - 1) * bound

    shift = uniform(axes, augment["shift"]) if "shift" in augment else torch.zeros(axes, device=device)
    factor = torch.ones(axes, device=device)
    if "jitter" in augment:
        factor = factor * uniform(axes, math.log(augment["jitter"])).exp()
    if "rescale" in augment:
        factor = factor * uniform(1, math.log(augment["rescale"])).exp()
    return Draw(shift, factor)
