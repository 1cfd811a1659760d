"""Mixed precision: bfloat16 autocast on any device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmvisionllama.errors import LaunchError
from mmvisionllama.registry import OPTIM_WRAPPERS, SCOPE


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Train under bfloat16 autocast, on CPUs as well as on GPUs.

    bfloat16 has the exponents of float32, so there is no loss scale, which ties AmpOptimWrapper to GPUs.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


_BFLOAT16 = f"{SCOPE}.{BFloat16OptimWrapper.__name__}"


def has_bfloat16() -> bool:
    """Whether this device computes in bfloat16: every CPU, and GPUs from Ampere on."""
    return get_device() == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)


def autocast_dtype() -> torch.dtype:
    """Return what mixed precision computes in on this device."""
    return torch.bfloat16 if has_bfloat16() else torch.float16


def hold_in_autocast_dtype(network: nn.Module) -> None:
    """Convert the weights that autocast would convert in every call; what it computes stays the same."""
    for part in network.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.to(autocast_dtype())


def mixed_precision_wrapper(optim_wrapper: dict[str, Any]) -> dict[str, Any]:
    """Return the config of the mixed-precision counterpart of a plain or an AMP optimizer wrapper.

    Raises: LaunchError: for any other wrapper, which may have its own idea of precision.
    """
    given = optim_wrapper.get("type", "OptimWrapper")
    if given not in ("OptimWrapper", "AmpOptimWrapper", _BFLOAT16):
        raise LaunchError(
            f"--amp replaces OptimWrapper or AmpOptimWrapper, but the config has optim_wrapper.type={given!r}"
        )
    if has_bfloat16():
        scaling = ("loss_scale", "dtype", "use_fsdp")
        kept = {key: value for key, value in optim_wrapper.items() if key not in scaling}
        return {**kept, "type": _BFLOAT16}
    return {**optim_wrapper, "type": "AmpOptimWrapper", "dtype": "float16"}
