"""Measure what groups of an optimizer take: PYTHONPATH=. python docs/figures/measure_groups.py CONFIG...

A group for each parameter, as mmengine makes them, and one for each setting, as trainings here have them.
"""

import io
import sys
import time
from statistics import median

import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvisionllama.config import load_config
from mmvisionllama.training.parameter_groups import with_grouping

STEPS = 5


def trainable(cfg: Config) -> nn.Module:
    """Build a model whose weights and gradients are zero."""
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    model = model.to_empty(device="cpu")
    for x in model.parameters():
        x.data.zero_()
        x.grad = torch.zeros_like(x)
    return model


def seconds(cfg: ConfigDict, model: nn.Module) -> tuple[OptimWrapper, list[float]]:
    """Return an optimizer, and processor seconds of building, a step, saving and reading its state."""
    start = time.process_time()
    wrapper = build_optim_wrapper(model, cfg)
    taken = [time.process_time() - start]
    steps = []
    for _ in range(STEPS + 1):  # the first one makes the state
        start = time.process_time()
        wrapper.optimizer.step()
        steps.append(time.process_time() - start)
    taken.append(median(steps[1:]))
    file = io.BytesIO()
    start = time.process_time()
    torch.save(wrapper.state_dict(), file)
    taken.append(time.process_time() - start)
    file.seek(0)
    start = time.process_time()
    torch.load(file, weights_only=True)
    return wrapper, [*taken, time.process_time() - start]


def main() -> None:
    """Print a line for each config and kind of group."""
    for name in sys.argv[1:]:
        cfg = load_config(name)
        model = trainable(cfg)
        given = {**cfg.optim_wrapper.to_dict(), "type": "OptimWrapper"}
        given["optimizer"].pop("fused", None)
        for made in (given, with_grouping(given)):
            wrapper, taken = seconds(ConfigDict(made), model)
            parts = zip(("building", "step", "saving", "reading"), taken, strict=True)
            text = ", ".join(f"{part} {x:.3f} s" for part, x in parts)
            sys.stdout.write(f"{name}: {len(wrapper.optimizer.param_groups)} groups, {text}\n")


if __name__ == "__main__":
    main()
