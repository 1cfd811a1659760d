"""DigitScenes: real handwritten digits composed onto real photographs, all from installed packages.

``sources`` reads and splits digits and photographs, ``scene`` composes one image, ``layouts`` writes it
as segmentation, classification or detection data, ``contact_sheet`` draws what lies on disk, and
``writer`` puts it all together.
"""

from mmvisionllama.datasets.digitscenes.layouts import LAYOUTS
from mmvisionllama.datasets.digitscenes.sources import CLASSES, PALETTE
from mmvisionllama.datasets.digitscenes.writer import write_digitscenes

__all__ = ["CLASSES", "LAYOUTS", "PALETTE", "write_digitscenes"]
