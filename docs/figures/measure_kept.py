"""Measure what steps keep for their backward pass: PYTHONPATH=. python docs/figures/measure_kept.py MODEL...

Models are given as to tools/benchmark.py, and each is run as it is and as a compiler divides it.
"""

import sys

import torch
from torch import Tensor, nn

from mmvisionllama.benchmark.model_specs import parse_model
from mmvisionllama.benchmark.worker import Setting, build_spec, forward_backbone

SETTING = Setting("train", (224, 224), batch=4)


def kept_bytes(model: nn.Module) -> int:
    """Count bytes of what autograd keeps of a forward pass: each storage once, none of weights and tables."""
    forward = forward_backbone(model, SETTING)
    forward()  # makes tables, and compiles
    own = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        forward()
    return sum(x.untyped_storage().nbytes() for place, x in kept.items() if place not in own)


def main() -> None:
    """Print a line for each model."""
    for text in sys.argv[1:]:
        model = build_spec(parse_model(text), SETTING.device)
        model.train()  # of mmpretrain, it returns nothing
        eager = kept_bytes(model)
        # It divides forward and backward as Inductor does, and makes no kernels.
        model.compile(backend="aot_eager_decomp_partition")
        compiled = kept_bytes(model)
        sys.stdout.write(f"{text}: {eager / 2**20:.0f} MiB eager, {compiled / 2**20:.0f} MiB compiled\n")


if __name__ == "__main__":
    main()
