"""Metrics of generated images (FID, sFID, Inception Score, precision, recall) and of image sizes.

Letters in tensor names beside those of :mod:`mmvisionllama.models`: N images, D pooled features, S spatial
features, K classes that a network predicts.
"""

from mmvisionllama.evaluation.comparison import as_facts, evaluate, parse_features
from mmvisionllama.evaluation.images import GRID, open_images, png_name, write_npz, write_png
from mmvisionllama.evaluation.reference import dataset_name, open_reference
from mmvisionllama.evaluation.sample_info import SampleInfo, read_info, write_info

__all__ = [
    "GRID",
    "SampleInfo",
    "as_facts",
    "dataset_name",
    "evaluate",
    "open_images",
    "open_reference",
    "parse_features",
    "png_name",
    "read_info",
    "write_info",
    "write_npz",
    "write_png",
]
