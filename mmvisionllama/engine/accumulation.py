"""Steps that are computed in parts: schedules, checkpoints, averages and logs count whole steps.

mmengine's ``accumulative_counts`` makes every part an iteration, and all that counts iterations counts parts.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmvisionllama.config.errors import ConfigError
from mmvisionllama.engine.global_batch import share_batch


def share_steps(runner: Runner) -> None:
    """Let a training whose config states a global batch make steps of it, see ``share_batch``.

    To be called before the training loop is built; dataloaders that are built already are left alone.
    """
    dataloader = runner._train_dataloader
    batch = share_batch(runner.cfg, runner.world_size)
    if batch is None or not isinstance(dataloader, dict):
        return
    runner._train_dataloader = {**dataloader, "batch_size": batch.per_device}
    if batch.accumulation > 1:
        different = runner._randomness_cfg.get("diff_rank_seed", False)
        built = runner.build_dataloader(runner._train_dataloader, runner.seed, different)
        runner._train_dataloader = StepLoader(built, batch.accumulation)
        runner.register_hook(AccumulationHook(batch.accumulation))


class StepLoader:
    """A dataloader that yields the batches of a step together; else it is ``dataloader``.

    Args:
        dataloader: Yields what a device computes with at once.
        batches_per_step: How many of these make a step. The last step of an epoch may have fewer.
    """

    def __init__(self, dataloader: DataLoader, batches_per_step: int) -> None:
        self.__dict__.update(dataloader=dataloader, batches_per_step=batches_per_step)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "dataloader" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataloader, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.dataloader, name, value)

    def __len__(self) -> int:
        return -(-len(self.dataloader) // self.batches_per_step)

    def __iter__(self) -> Iterator[list[Any]]:
        batches = iter(self.dataloader)
        while step := list(itertools.islice(batches, self.batches_per_step)):
            yield step


class AccumulationHook(Hook):
    """Let ``train_step`` take the batches of a step, which ``StepLoader`` yields, one after another.

    Each counts by its number of images, so that a step of several batches has the gradient of one large batch
    where the loss is a mean over images.

    Args:
        batches_per_step: How many batches make a full step.
    Raises: ConfigError: for several optimizers.
    """

    priority = "VERY_HIGH"

    def __init__(self, batches_per_step: int) -> None:
        self.batches_per_step = batches_per_step

    def before_train(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            raise ConfigError(
                f"{self.batches_per_step} batches would have to make a step, but the model has several "
                "optimizers; give train_dataloader.batch_size so that one batch does"
            )
        wrapper._accumulative_counts = self.batches_per_step
        wrapper.initialize_count_status(runner.model, 0, -1)
        # On the instance, as Runner does to compile it.
        runner.model.train_step = _WholeStep(runner.model.train_step, self.batches_per_step)


class _WholeStep:
    def __init__(self, train_step: Any, batches_per_step: int) -> None:
        self.train_step = train_step.train_step if isinstance(train_step, _WholeStep) else train_step
        self.batches_per_step = batches_per_step

    def __call__(self, batches: list[Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        images = [images_in(batch) for batch in batches]
        # The batches that a short step lacks count as taken, so that its last one completes it.
        optim_wrapper._inner_count += self.batches_per_step - len(batches)
        even = len(images) == self.batches_per_step and len(set(images)) == 1
        shares = [number / sum(images) for number in images]
        logged = []
        for batch, share in zip(batches, shares, strict=True):
            wrapper = optim_wrapper if even else _Weighted(optim_wrapper, share * self.batches_per_step)
            logged.append(self.train_step(batch, optim_wrapper=wrapper))
        return {key: _mean([x[key] for x in logged], shares) for key in logged[0]}


class _Weighted:
    """An optimizer wrapper that multiplies the loss of one batch."""

    def __init__(self, optim_wrapper: OptimWrapper, weight: float) -> None:
        self.optim_wrapper = optim_wrapper
        self.weight = weight

    def __getattr__(self, name: str) -> Any:
        return getattr(self.optim_wrapper, name)

    def update_params(self, loss: Tensor, **kwargs: Any) -> None:
        self.optim_wrapper.update_params(loss * self.weight, **kwargs)


def images_in(batch: Any) -> int:
    """Return the number of images in a collated batch: of its ``inputs``, else of its first part."""
    if isinstance(batch, dict):
        return images_in(batch.get("inputs", next(iter(batch.values()))))
    if isinstance(batch, (list, tuple)) and _is_column(batch[0]):
        return images_in(batch[0])
    return len(batch)


def _is_column(part: Any) -> bool:
    """Whether a part of a batch holds something of every image, rather than being one image."""
    return isinstance(part, (dict, list, tuple)) or (isinstance(part, Tensor) and part.ndim > 3)


def _mean(values: list[Any], shares: list[float]) -> Any:
    values = [value.detach() if isinstance(value, Tensor) else value for value in values]
    return sum(value * share for value, share in zip(values, shares, strict=True))
