"""Parts of a Runner: the model without its wrapper, every optimizer, moving averages, shares of tensors."""

from mmengine.hooks import EMAHook
from mmengine.model import BaseAveragedModel, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def unwrapped(runner: Runner) -> nn.Module:
    """Return the model without what distributes it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def optim_wrappers(optim_wrapper: OptimWrapper | OptimWrapperDict) -> list[OptimWrapper]:
    """Return the wrapper of every optimizer, of which a model may have several."""
    return list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]


def averages(runner: Runner) -> list[BaseAveragedModel]:
    """Return the moving averages of the weights that hooks keep."""
    return [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]


def local(x: Tensor) -> Tensor:
    """Return the part of a sharded tensor that this process has; any other tensor is its own."""
    return x.to_local() if isinstance(x, DTensor) else x
