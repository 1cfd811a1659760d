"""VisionLLaMA backbones and recipes for the OpenMMLab libraries."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["PyramidVisionLLaMA", "VisionLLaMA", "__version__"]


def __getattr__(name: str) -> Any:
    # Importing the package must work where torch is broken (`doctor`), so the backbones load on use.
    if name in ("VisionLLaMA", "PyramidVisionLLaMA"):
        from mmvisionllama import models

        return getattr(models, name)
    raise AttributeError(f"module 'mmvisionllama' has no attribute {name!r}")
