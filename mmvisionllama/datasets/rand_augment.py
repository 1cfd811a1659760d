"""RandAugment on images of bytes, by lookup tables: the host's policies and draws."""

import math
from collections.abc import Callable
from typing import Any

from mmpretrain.datasets import transforms as host
from mmpretrain.datasets.transforms.auto_augment import BaseAugTransform
from numpy.typing import NDArray

from mmvisionllama.datasets import colours
from mmvisionllama.datasets.row_shifts import INTERPOLATIONS, sheared, translated
from mmvisionllama.registry import TRANSFORMS

Operation = Callable[[Any, NDArray], NDArray]


def _strength(drawn: BaseAugTransform, fixed: float | None) -> float:
    return drawn.random_magnitude() if fixed is None else fixed


def _signed(drawn: BaseAugTransform) -> float:
    return drawn.random_negative(_strength(drawn, drawn.magnitude))


def _fill(drawn: host.Shear | host.Translate) -> tuple[float, ...]:
    return drawn.pad_val if isinstance(drawn.pad_val, tuple) else (drawn.pad_val,) * 3


def _shear(drawn: host.Shear, image: NDArray) -> NDArray:
    given = dict(fill=_fill(drawn), interpolation=drawn.interpolation)
    return sheared(image, _signed(drawn), drawn.direction, **given)


def _translate(drawn: host.Translate, image: NDArray) -> NDArray:
    given = dict(fill=_fill(drawn), interpolation=drawn.interpolation)
    side = image.shape[drawn.direction == "horizontal"]
    return translated(image, _signed(drawn) * side, drawn.direction, **given)


# The host's operation -> what it does to an image, drawing as the host does.
_OPERATIONS: dict[type, Operation] = {
    host.AutoContrast: lambda drawn, image: colours.auto_contrasted(image),
    host.Equalize: lambda drawn, image: colours.equalized(image),
    host.Invert: lambda drawn, image: colours.inverted(image),
    host.Posterize: lambda drawn, image: colours.posterized(image, math.ceil(_strength(drawn, drawn.bits))),
    host.Solarize: lambda drawn, image: colours.solarized(image, _strength(drawn, drawn.thr)),
    host.SolarizeAdd: lambda drawn, image: colours.solarized_by_adding(
        image, _strength(drawn, drawn.magnitude), drawn.thr
    ),
    host.ColorTransform: lambda drawn, image: colours.saturated(image, 1 + _signed(drawn)),
    host.Contrast: lambda drawn, image: colours.contrasted(image, 1 + _signed(drawn)),
    host.Brightness: lambda drawn, image: colours.brightened(image, 1 + _signed(drawn)),
    host.Shear: _shear,
    host.Translate: _translate,
    host.Sharpness: lambda drawn, image: colours.sharpened(image, 1 + _signed(drawn)),
}


@TRANSFORMS.register_module()
class RandAugment(host.RandAugment):
    """mmpretrain's RandAugment, with the same policies, chances, strengths and order of draws, but faster.

    From one seed the two choose the same operations at the same strengths. Colours are the same to the last
    bit; shearing and translating differ by rounding. Rotating, and operations of one's own, are the host's.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Change ``img`` (height, width, BGR; uint8)."""
        for index in self.random_policy_indices():
            chosen = self.transforms[index]
            operation = _OPERATIONS.get(type(chosen))
            if operation is None or getattr(chosen, "interpolation", "bicubic") not in INTERPOLATIONS:
                results = chosen(results)
                if results is None:
                    return None
            elif not chosen.random_disable():
                results["img"] = operation(chosen, results["img"])
        return results
