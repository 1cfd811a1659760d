"""The one place that knows about a broken or partial environment."""

import sys
from importlib.util import find_spec

# Operators whose schema torchvision's Python part asks for while it is imported.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# Torch withdraws the schemas as soon as their library object dies.
_libraries: list[object] = []


def prepare() -> None:
    """Make torchvision importable beside a torch of another build; to be called before a host is imported.

    The compiled part of a CUDA torchvision does not load beside a CPU torch, and then its Python part, which
    is all that the hosts' transforms need, fails on operators that nobody declared. Nothing happens where
    torchvision is healthy or not installed.

    Raises:
        Exception: whatever ``import torchvision`` raises for any other reason.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None or find_spec("torch") is None:
        return
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _declare_operators()
        import torchvision  # noqa: F401


def torchvision_is_patched() -> bool:
    """Whether ``prepare`` had to declare operators in this process."""
    return bool(_libraries)


def _declare_operators() -> None:
    import torch

    # The failed import left modules behind that were half executed.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
