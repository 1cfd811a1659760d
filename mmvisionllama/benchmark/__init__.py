"""Side-by-side measurement of models in one interleaved run."""

from mmvisionllama.benchmark.interleave import Measurement, Setting, measure
from mmvisionllama.benchmark.specs import Subject, parse_model

__all__ = ["Measurement", "Setting", "Subject", "measure", "parse_model"]
