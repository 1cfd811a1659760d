"""Data sets, transforms and data checks that the hosts do not have."""

from mmvisionllama.datasets.loading import LoadImageFromFile
from mmvisionllama.datasets.seg import DigitScenesSegDataset

__all__ = ["DigitScenesSegDataset", "LoadImageFromFile"]
