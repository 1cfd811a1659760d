"""Side-by-side measurement of backbones in one interleaved run."""

from mmvisionllama.benchmark.interleave import Measurement, Setting, measure
from mmvisionllama.benchmark.specs import parse_model

__all__ = ["Measurement", "Setting", "measure", "parse_model"]
