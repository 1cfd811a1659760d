"""Estimate traffic and memory per GPU of DDP and FSDP from the number of parameters."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mmvisionllama.generation.network import ARCHS as DIT_ARCHS
from mmvisionllama.generation.network import DiT
from mmvisionllama.models.pyramid import ARCHS as PYRAMID_ARCHS
from mmvisionllama.models.pyramid import PyramidVisionLLaMA
from mmvisionllama.models.visionllama import ARCHS as PLAIN_ARCHS
from mmvisionllama.models.visionllama import VisionLLaMA
from mmvisionllama.training.scale_plan import all_reduced, gathered, scattered

GPUS = (8, 64, 512)
_FLOAT32 = 4


@dataclass(frozen=True)
class GPULoad:
    """What one model asks of every GPU of a run; all sizes are bytes.

    Args:
        parameters: All of them are trained, in float32.
        averages: Whether the run keeps an exponential moving average.
    """

    name: str
    parameters: int
    averages: bool = True

    @property
    def state(self) -> int:
        """Weights, gradients, two moments of Adam and averages: what DDP holds on every GPU."""
        return (4 + self.averages) * _FLOAT32 * self.parameters

    def share(self, gpus: int) -> float:
        """Return the part of ``state`` that a GPU holds when it is sharded."""
        return self.state / gpus

    @property
    def checkpoint(self) -> int:
        """Weights, two moments and averages."""
        return (3 + self.averages) * _FLOAT32 * self.parameters

    def all_reduced(self, gpus: int) -> float:
        """Return what a GPU sends in a step of DDP: a ring all-reduce of the gradients."""
        return all_reduced(_FLOAT32 * self.parameters, gpus)

    def sharded(self, gpus: int, weight_bytes: int = _FLOAT32) -> float:
        """Return what a GPU sends in a step of FSDP: weights gathered twice, gradients scattered once.

        Args:
            weight_bytes: 4, or 2 with ``precision=dict(param_dtype="bfloat16", reduce_dtype="float32")``.
        """
        weights, gradients = weight_bytes * self.parameters, _FLOAT32 * self.parameters
        return gathered(weights, gpus) + scattered(gradients, gpus)

    def between_machines(self, gpus: int, shard_size: int = 8) -> float:
        """Return what a GPU sends to other machines where each machine shards by itself (``shard_size``)."""
        return all_reduced(_FLOAT32 * self.parameters / shard_size, gpus // shard_size)


def gpu_loads() -> Iterator[GPULoad]:
    """Yield every size that the package has, smallest first in each family, but for the demonstrations."""
    families = (
        ("VisionLLaMA {}", VisionLLaMA, PLAIN_ARCHS, False),
        ("PyramidVisionLLaMA {}", PyramidVisionLLaMA, PYRAMID_ARCHS, False),
        ("DiT-LLaMA {}, patch 2", DiT, DIT_ARCHS, True),
    )
    for name, network, archs, averages in families:
        for arch in archs:
            if arch != "tiny":
                with torch.device("meta"):
                    model = network(arch)
                yield GPULoad(name.format(arch), sum(x.numel() for x in model.parameters()), averages)


def tables() -> str:
    """Return the two tables of ``docs/scale.md``, in gigabytes (10^9)."""
    most = GPUS[-1]
    found = list(gpu_loads())
    sent = {
        "GB sent per step and GPU": [x.name for x in found],
        "parameters": [f"{x.parameters / 1e6:.1f} M" for x in found],
        **{f"DDP, {n}": [_gigabytes(x.all_reduced(n)) for x in found] for n in GPUS},
        **{f"FSDP, {n}": [_gigabytes(x.sharded(n)) for x in found] for n in GPUS},
        f"FSDP, bfloat16, {most}": [_gigabytes(x.sharded(most, 2)) for x in found],
        f"between machines, {most}": [_gigabytes(x.between_machines(most)) for x in found],
    }
    held = {
        "GB": [x.name for x in found],
        "DDP, every GPU": [_gigabytes(x.state) for x in found],
        **{f"FSDP, {n}": [_gigabytes(x.share(n)) for x in found] for n in GPUS},
        "checkpoint": [_gigabytes(x.checkpoint) for x in found],
        **{f"each of {n}": [_gigabytes(x.checkpoint / n) for x in found] for n in GPUS},
    }
    return f"{_table(sent)}\n\n{_table(held)}"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g}"


def _table(columns: dict[str, list[str]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
