"""Convert the weights that the authors of VisionLLaMA published into models of this package."""

from mmvisionllama.checkpoint.released.convert import Converted, convert_released, family_of
from mmvisionllama.checkpoint.released.families import FAMILIES
from mmvisionllama.checkpoint.released.files import convert_file
from mmvisionllama.checkpoint.released.names import RELEASED, released_weights
from mmvisionllama.checkpoint.released.quirks import QUIRKS

__all__ = [
    "FAMILIES",
    "QUIRKS",
    "RELEASED",
    "Converted",
    "convert_file",
    "convert_released",
    "family_of",
    "released_weights",
]
