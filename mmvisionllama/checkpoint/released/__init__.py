"""The weights that the authors of VisionLLaMA published, as models of this package."""

from mmvisionllama.checkpoint.released.convert import Converted, convert_released, recognised
from mmvisionllama.checkpoint.released.families import FAMILIES
from mmvisionllama.checkpoint.released.files import convert_file
from mmvisionllama.checkpoint.released.quirks import QUIRKS

__all__ = ["FAMILIES", "QUIRKS", "Converted", "convert_file", "convert_released", "recognised"]
