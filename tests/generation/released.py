"""Reference cases of the original DiT and SiT code; their networks are those that the converter makes."""

from torch import Tensor

from tests.models.released import ROOT, Case, load_case

__all__ = ["ROOT", "Case", "Replay", "load_case"]


class Replay:
    """Gives stored noise where a sampler draws."""

    def __init__(self, *noise: Tensor) -> None:
        self.left = list(noise)

    def __call__(self) -> Tensor:
        return self.left.pop(0)
