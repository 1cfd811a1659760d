"""VisionLLaMA backbones and recipes for the OpenMMLab libraries."""

from importlib import import_module
from typing import Any

from mmvisionllama import compat

compat.install()
__version__ = "0.1.0"
# Importing the package must work where torch is broken (`doctor`), so each of these loads on use.
_PLACES = {
    "PyramidVisionLLaMA": "models",
    "VisionLLaMA": "models",
    "create_model": "inference.model_factory",
    "list_models": "inference.model_factory",
    "load": "inference.trained_model",
    "test": "training.launch",
    "train": "training.launch",
}
__all__ = [
    "PyramidVisionLLaMA",
    "VisionLLaMA",
    "__version__",
    "create_model",
    "list_models",
    "load",
    "test",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'mmvisionllama' has no attribute {name!r}")
    return getattr(import_module(f"mmvisionllama.{_PLACES[name]}"), name)
