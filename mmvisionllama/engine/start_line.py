"""The line that says what a run is about to do."""

from collections.abc import Sized
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvisionllama.engine.global_batch import GlobalBatch, share_batch


class StartLineHook(Hook):
    """Log one line before a run: model, parameters, data, processes, global batch, learning rate and seed.

    Args:
        training: Describe a training run, otherwise a test.
    """

    priority = "VERY_LOW"

    def __init__(self, training: bool) -> None:
        self.training = training

    def before_run(self, runner: Runner) -> None:
        parts = [_model(runner), *(self._training(runner) if self.training else self._test(runner))]
        runner.logger.info("Start: %s", " | ".join([*parts, f"seed {runner.seed}"]))

    def _training(self, runner: Runner) -> list[str]:
        data = f"train {_size(runner.train_dataloader)}"
        if runner.val_loop is not None:
            data += f", val {_size(runner.val_dataloader)}"
        accumulation = runner.cfg.optim_wrapper.get("accumulative_counts", 1)
        stated = share_batch(runner.cfg, runner.world_size)
        return [
            f"data: {data}",
            str(stated) if stated else _batch(runner, runner.train_dataloader, accumulation),
            f"learning rate {_learning_rate(runner.optim_wrapper):.3g}",
        ]

    def _test(self, runner: Runner) -> list[str]:
        return [f"data: test {_size(runner.test_dataloader)}", _batch(runner, runner.test_dataloader, 1)]


def _model(runner: Runner) -> str:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    parts = [type(model).__name__]
    parts += [
        type(getattr(model, x)).__name__ for x in ("backbone", "decode_head", "head") if hasattr(model, x)
    ]
    count = sum(x.numel() for x in model.parameters())
    trainable = sum(x.numel() for x in model.parameters() if x.requires_grad)
    return f"{' + '.join(parts)}, {count / 1e6:.2f} M parameters ({trainable / 1e6:.2f} M trainable)"


def _size(dataloader: DataLoader) -> str:
    return str(len(dataloader.dataset)) if isinstance(dataloader.dataset, Sized) else "endless"


def _batch(runner: Runner, dataloader: DataLoader, accumulation: int) -> str:
    batch = dataloader.batch_size or getattr(dataloader.batch_sampler, "batch_size", 1)
    size = runner.world_size * batch * accumulation
    return str(GlobalBatch(size, runner.world_size, batch, accumulation))


def _learning_rate(optim_wrapper: Any) -> float:
    wrappers = optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    # The config's own rate: groups have theirs by depth or name, and a warm-up has lowered what they hold.
    return max(wrapper.optimizer.defaults["lr"] for wrapper in wrappers)
