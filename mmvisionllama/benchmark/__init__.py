"""Speed and memory of models, measured side by side."""

from mmvisionllama.benchmark.interleaved import Measurement, Timing, measure
from mmvisionllama.benchmark.model_specs import ModelSpec, parse_model
from mmvisionllama.benchmark.worker import Setting

__all__ = ["Measurement", "ModelSpec", "Setting", "Timing", "measure", "parse_model"]
