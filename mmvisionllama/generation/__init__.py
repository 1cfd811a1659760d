"""Class-conditional image generation: DiT and SiT with LLaMA's block or ViT's."""

from importlib import import_module
from typing import Any

# The generator takes what mmpretrain gives; who needs the network alone shall not wait for all of a host.
_PLACES = {"ClassConditionalGenerator": "generator", "DiT": "network"}
__all__ = ["ClassConditionalGenerator", "DiT"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
